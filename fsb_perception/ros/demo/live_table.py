"""The demo in the terminal: one row a face, one column a task, and a line with the speed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fsb_perception.ros.demo.tally import Summary
from fsb_perception.types import UNKNOWN, AttributeEstimate, TrackState

Show: TypeAlias = Callable[[Summary, float], None]

_LINE_PERIOD = 2.0  # s between two lines of an output that is no terminal
_COLUMN = 14  # characters; wide enough for every label, so that the columns do not move
_STATE_STYLES = {
    TrackState.TENTATIVE: "yellow",
    TrackState.CONFIRMED: "green",
    TrackState.COASTED: "cyan",
    TrackState.ENDED: "dim",
}


@contextlib.contextmanager
def live_table(console: Console) -> Iterator[Show]:
    """Yield a function that shows a summary and the seconds since the start.

    A terminal shows the table of the newest frame; any other output gets a line now and then.
    """
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield lambda summary, _: live.update(current_table(summary), refresh=True)
        return
    printed = 0.0

    def show(summary: Summary, elapsed: float) -> None:
        nonlocal printed
        if elapsed - printed >= _LINE_PERIOD:
            printed = elapsed
            print_line(
                console,
                f"{elapsed:6.1f} s  {len(summary.faces)} faces  {status_line(summary)}",
            )

    yield show


def current_table(summary: Summary) -> RenderableType:
    """Return the status line and a table of the faces in the newest frame."""
    faces = sorted(summary.faces, key=lambda face: face.face_id)
    tasks = _unique(estimate.task for face in faces for estimate in face.estimates)
    table = _table(("face", "state"), tasks)
    for face in faces:
        state = Text(face.state.name.lower(), style=_STATE_STYLES[face.state])
        estimates = {estimate.task: estimate for estimate in face.estimates}
        table.add_row(face.face_id, state, *_cells(estimates, tasks))
    content = table if faces else Text("no face in view", style="dim")
    return Group(Text(status_line(summary), no_wrap=True, overflow="ellipsis"), content)


def closing_table(summary: Summary) -> RenderableType:
    """Return a table of all faces of the run, each with its last known labels."""
    tasks = _unique(task for estimates in summary.seen.values() for task in estimates)
    table = _table(("face",), tasks)
    for face_id, estimates in summary.seen.items():
        table.add_row(face_id, *_cells(estimates, tasks))
    return table if summary.seen else Text("no face was seen")


def status_line(summary: Summary) -> str:
    """Return one line with rate, latency, drops and bundle."""
    if not summary.processed:
        return "the node has not answered yet"
    return (
        f"{summary.rate:.1f} frames/s   "
        f"latency p50 {summary.p50:.1f} ms, p95 {summary.p95:.1f} ms   "
        f"{summary.processed} processed, {summary.dropped} dropped   {summary.bundle_id}"
    )


def print_line(console: Console, text: str) -> None:
    """Print a text as it is: without markup, colours or line breaks."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _table(first: Iterable[str], tasks: Iterable[str]) -> Table:
    table = Table(*first)
    for task in tasks:
        table.add_column(task.replace("_", " "), min_width=_COLUMN)
    return table


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _cells(estimates: Mapping[str, AttributeEstimate], tasks: Iterable[str]) -> list[Text]:
    return [_cell(estimates[task]) if task in estimates else Text("") for task in tasks]


def _cell(estimate: AttributeEstimate) -> Text:
    if estimate.label == UNKNOWN:
        return Text(UNKNOWN, style="dim")
    style = "bold" if estimate.stable else ""
    return Text(f"{estimate.label:<10}{estimate.confidence:.2f}", style=style)
