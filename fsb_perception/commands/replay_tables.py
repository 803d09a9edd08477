"""Lines and tables that ``fsb replay`` prints in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from fsb_perception.metric_words import METRICS
from fsb_perception.replay.metrics import Metrics
from fsb_perception.replay.report import REPORT
from fsb_perception.replay.running.replayer import ReplayResult
from fsb_perception.replay.scoring.compare import Change, Verdict
from fsb_perception.replay.summary import Play, Summary

_SHOWN = ("look_accuracy", "balanced_accuracy", "track_accuracy", "ece", "flips_a_minute")
_STYLES: dict[Verdict, str] = {
    "better": "green",
    "worse": "bold red",
    "not sure": "dim",
    "same": "dim",
}


def result_lines(bag: Path, result: ReplayResult) -> Iterator[str]:
    """Yield the lines about a replayed bag, with rich's markup."""
    summary = result.summary
    yield f"{escape(str(bag))}: {escape(', '.join(summary.topics))}"
    if result.kept:
        yield "  Replayed before, with the same code and options: the answers are kept."
    yield (
        f"  {summary.frames:,} images, {summary.failed:,} of them unreadable, "
        f"{summary.tracks:,} faces followed; results {summary.results_sha256[:12]}"
    )
    if summary.play:
        yield from _play_lines(summary.play, summary)
    load = summary.load
    if load.cpu_mean is not None and load.memory_mib_last is not None:
        yield f"  CPU: {load.cpu_mean:.2f} cores; memory: {load.memory_mib_last:.0f} MiB"
    yield from (f"  [yellow]{escape(line)}[/]" for line in summary.problem_lines())
    yield (
        f"  Written: {escape(str(result.folder))}; to read: {escape(str(result.folder / REPORT))}"
    )


def _play_lines(play: Play, summary: Summary) -> Iterator[str]:
    median = METRICS["p50_ms"].text(summary.timing.wait.p50_ms)
    yield (
        f"  {play.dropped:,} of {play.published:,} images dropped ({play.drop_rate:.1%}) at "
        f"{play.rate:g} times the recorded speed; answers after {median} (median)"
    )
    if play.highest_rate is not None:
        yield f"  Less than 1 % is dropped up to {play.highest_rate:.2f} times the recorded speed"
    if not play.kept_pace:
        yield f"  [yellow]the player itself reached only {play.achieved:.2f} times[/]"


def metrics_table(metrics: Metrics) -> Table | str:
    """Return the metrics that decide most, one row a task; or a line that there are none."""
    if not metrics.model_fields_set:
        return "  The truth has nothing on these images."
    table = Table("", *(METRICS[name].heading for name in _SHOWN), box=None)
    for task, scores in metrics.tasks.items():
        values = [getattr(scores, name) for name in _SHOWN]
        cells = ["-" if value is None else f"{value:.3f}" for value in values]
        table.add_row(f"  {task.replace('_', ' ')}", *cells)
    if metrics.detection and metrics.tracking:
        table.caption = (
            f"detection: precision {metrics.detection.precision:.3f}, "
            f"recall {metrics.detection.recall:.3f}; "
            f"IDF1 {metrics.tracking.idf1:.3f}, {metrics.tracking.id_switches} switches"
        )
    return table


def changes_table(changes: Sequence[Change]) -> Table:
    """Return a row for every metric of both runs."""
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
