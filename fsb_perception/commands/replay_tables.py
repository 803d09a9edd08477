"""What ``fsb replay`` says in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from fsb_perception.metric_words import METRICS
from fsb_perception.problems import lines
from fsb_perception.replay.report import REPORT
from fsb_perception.replay.running.replayer import Done
from fsb_perception.replay.scoring.compare import Change

_SHOWN = ("look_accuracy", "balanced_accuracy", "track_accuracy", "ece", "flips_a_minute")
_STYLES = {"better": "green", "worse": "bold red", "not sure": "dim", "same": "dim"}


def told(bag: Path, done: Done) -> Iterator[str]:
    """Lines about a replayed bag, with rich's markup."""
    said = done.summary
    yield f"{escape(str(bag))}: {escape(', '.join(said['topics']))}"
    if done.kept:
        yield "  Replayed before, with the same code and options: the answers are kept."
    yield (
        f"  {said['frames']:,} images, {said['failed']:,} of them unreadable, "
        f"{said['tracks']:,} faces followed; results {said['results_sha256'][:12]}"
    )
    yield from _speed(said)
    yield from (f"  [yellow]{escape(line)}[/]" for line in lines(said["problems"]))
    yield f"  Written: {escape(str(done.folder))}; to read: {escape(str(done.folder / REPORT))}"


def _speed(said: Mapping[str, Any]) -> Iterator[str]:
    """What a running node managed, and what it took."""
    play, load = said.get("play"), said.get("load")
    if play:
        yield (
            f"  {play['dropped']:,} of {play['published']:,} images dropped "
            f"({play['drop_rate']:.1%}) at {play['rate']:g} times the speed of life; answers after "
            f"{said['timing']['wait'].get('p50_ms', float('nan')):.0f} ms (median)"
        )
        if "highest_rate" in play:
            yield f"  Less than 1 % is dropped up to {play['highest_rate']:.2f} times"
        if not play["kept_pace"]:
            yield f"  [yellow]the player itself came only to {play['achieved']:.2f} times[/]"
    if load:
        yield f"  CPU: {load['cpu_mean']:.2f} cores; memory: {load['memory_mib_last']:.0f} MiB"


def metrics_table(metrics: Mapping[str, Any]) -> Table | str:
    """The metrics that decide most, a row a task; or that there are none."""
    if not metrics:
        return "  The truth says nothing of these images."
    table = Table("", *(METRICS[name].heading for name in _SHOWN), box=None)
    for task, row in metrics.items():
        if "looks" in row:
            cells = [f"{row[name]:.3f}" if name in row else "-" for name in _SHOWN]
            table.add_row(f"  {task.replace('_', ' ')}", *cells)
    if "detection" in metrics:
        found, kept = metrics["detection"], metrics["tracking"]
        table.caption = (
            f"detection: precision {found['precision']:.3f}, recall {found['recall']:.3f}; "
            f"IDF1 {kept['idf1']:.3f}, {kept['id_switches']} switches"
        )
    return table


def changes_table(changes: Sequence[Change]) -> Table:
    """A row for every metric of both runs."""
    table = Table("metric", "first", "second", "difference", "95 % interval", "", box=None)
    for change in changes:
        interval = "-" if change.low is None else f"{change.low:+.3f} to {change.high:+.3f}"
        table.add_row(
            change.name.replace("_", " "),
            f"{change.first:.3f}",
            f"{change.second:.3f}",
            f"{change.second - change.first:+.3f}",
            interval,
            f"[{_STYLES[change.verdict]}]{change.verdict}[/]",
        )
    return table
