"""The demo in the terminal: one row a face, one column a task, and how fast it goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fsb_perception.ros.demo.tally import Summary
from fsb_perception.types import UNKNOWN, AttributeEstimate, TrackState

_STATE_STYLES = {
    TrackState.TENTATIVE: "yellow",
    TrackState.CONFIRMED: "green",
    TrackState.COASTED: "cyan",
    TrackState.ENDED: "dim",
}


def current(summary: Summary) -> RenderableType:
    """The faces of the newest frame, under the state of the run."""
    faces = sorted(summary.faces, key=lambda face: face.face_id)
    tasks = _tasks(estimates.task for face in faces for estimates in face.estimates)
    table = _table(("face", "state"), tasks)
    for face in faces:
        state = Text(face.state.name.lower(), style=_STATE_STYLES[face.state])
        words = {estimate.task: estimate for estimate in face.estimates}
        table.add_row(face.face_id, state, *_cells(words, tasks))
    shown = table if faces else Text("no face in view", style="dim")
    return Group(Text(status(summary), no_wrap=True, overflow="ellipsis"), shown)


def closing(summary: Summary) -> RenderableType:
    """Every face of the run, with the last that was confidently said of it."""
    tasks = _tasks(task for words in summary.seen.values() for task in words)
    table = _table(("face",), tasks)
    for face_id, words in summary.seen.items():
        table.add_row(face_id, *_cells(words, tasks))
    return table if summary.seen else Text("no face was seen")


def status(summary: Summary) -> str:
    """One line: rate, latency, drops, weights."""
    if not summary.processed:
        return "the node has answered nothing yet"
    return (
        f"{summary.rate:.1f} frames/s   "
        f"latency p50 {summary.p50:.1f} ms, p95 {summary.p95:.1f} ms   "
        f"{summary.processed} processed, {summary.dropped} dropped   {summary.bundle_id}"
    )


def _table(first: Iterable[str], tasks: Iterable[str]) -> Table:
    table = Table(*first)
    for task in tasks:
        # Wide enough for every label, so that the columns stand still.
        table.add_column(task.replace("_", " "), min_width=14)
    return table


def _tasks(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _cells(words: Mapping[str, AttributeEstimate], tasks: Iterable[str]) -> list[Text]:
    return [_cell(words[task]) if task in words else Text("") for task in tasks]


def _cell(estimate: AttributeEstimate) -> Text:
    if estimate.label == UNKNOWN:
        return Text(UNKNOWN, style="dim")
    style = "bold" if estimate.stable else ""
    return Text(f"{estimate.label:<10}{estimate.confidence:.2f}", style=style)
