"""The tables that ``fsb-train`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from fsb_training.experiments.markdown import percent

if TYPE_CHECKING:
    from fsb_training.filters import Outcome
    from fsb_training.judging.results import Result
    from fsb_training.params import Size


# Key of a metric, and the heading of its column. All columns together fit 80 characters.
METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "macro_f1": "macro\nF1",
    "within_one_accuracy": "within\none",
    "mae_years": "MAE,\nyears",
    "ece": "ECE",
    "ece_before": "ECE\nbefore",
}


def metrics_table(metrics: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """Build a table with one row for each data set and task.

    Args:
        metrics: values by data set, task and name; "intervals", if it is there, holds (low, high)
            by name. A metric that no row has gets no column.
    """
    rows = [(name, task, row) for name, tasks in metrics.items() for task, row in tasks.items()]
    keys = [key for key in METRICS if any(key in row for _, _, row in rows)]
    table = Table(title="Measured", box=SIMPLE_HEAD, padding=0, pad_edge=False)
    if any("intervals" in row for _, _, row in rows):
        table.caption = "± is half of the 95 % interval"
    for column in ("data set", "task", "faces", *(METRICS[key] for key in keys)):
        left = column in ("data set", "task")
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    for name, task, row in rows:
        cells = [_cell(row.get(key), row.get("intervals", {}).get(key)) for key in keys]
        table.add_row(name, task, f"{row['count']:,}", *cells)
    return table


def _cell(value: float | None, interval: Sequence[float] | None) -> str:
    """Format a number and, below it, half of its interval.

    >>> _cell(0.8788, (0.8659, 0.8917)).split()
    ['0.879', '±.013']
    """
    if value is None:
        return ""
    if interval is None:
        return f"{value:.3f}"
    half = (interval[1] - interval[0]) / 2
    return f"{value:.3f}\n±{half:.3f}".replace("±0.", "±.")


def subgroups_tables(measured: Iterable[Result]) -> Iterator[Table]:
    """Yield two tables for each result that knows groups of people: the groups and the gaps."""
    for result in measured:
        if result.groupings:
            yield _groups_table(result)
            yield _gaps_table(result)


def _groups_table(result: Result) -> Table:
    table = Table(title=f"{result.task}, {result.spec}, by group")
    for column in ("group", "", "faces", "accuracy", "95 %"):
        table.add_column(column, justify="left" if column in ("group", "") else "right")
    for grouping in result.groupings:
        for group in grouping.groups if len(grouping.attributes) == 1 else ():
            cells = _share(group.accuracy, group.interval) if group.judged else ("too few", "")
            table.add_row(grouping.name, group.name, f"{group.count:,}", *cells)
    return table


def _gaps_table(result: Result) -> Table:
    table = Table(title=f"{result.task}, {result.spec}, best minus worst group")
    for column in ("by", "best", "worst", "gap", "95 %", "groups", "too few"):
        table.add_column(column, justify="left" if column in ("by", "best", "worst") else "right")
    for grouping in result.groupings:
        small, gap = len(grouping.too_small), grouping.gap
        names = (gap.best.name, gap.worst.name) if gap else ("", "")
        cells = _share(gap.size, gap.interval) if gap else ("", "")
        table.add_row(grouping.name, *names, *cells, str(len(grouping.groups)), str(small))
    return table


def _share(value: float, interval: Sequence[float]) -> tuple[str, str]:
    return f"{value:.3f}", f"{interval[0]:.3f} to {interval[1]:.3f}"


def sizes_table(backbone: str, rank: int, batch_size: int) -> Table:
    """Build the empty table of ``fsb-train params``; `add_size` fills it."""
    table = Table(title=f"{backbone}, rank {rank}, {batch_size} pictures a step")
    for column in ("system", "total", "trained", "share", "added", "memory"):
        left = column == "system"
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    return table


def add_size(table: Table, size: Size) -> None:
    """Add the row of a system; dashes if the backbone does not support it."""
    if size.refusal:
        table.add_row(size.system, *["-"] * 5, style="dim")
        return
    memory = f"{size.memory / 2**30:.2f} GiB"
    numbers = (f"{size.total:,}", f"{size.trained:,}", percent(size.share), f"{size.added:,}")
    table.add_row(size.system, *numbers, memory)


def filters_table(outcomes: Sequence[Outcome]) -> Table:
    """Build a table of the faces before and after each filter, one row a data set and filter."""
    table = Table(title="Filters, over all that is published for training")
    for column in ("data set", "filter", "before", "after"):
        right = column in ("before", "after")
        table.add_column(column, justify="right" if right else "left", no_wrap=right)
    table.add_column("why")
    for outcome in outcomes:
        counts = (f"{outcome.before:,}", f"{outcome.after:,}")
        reasons = escape("\n".join(outcome.reasons()) or "nothing to leave out")
        table.add_row(outcome.dataset, outcome.filter, *counts, reasons)
    return table


def recipes_table(recipes: Mapping[str, str]) -> Table:
    """Build a table of recipes and their descriptions."""
    table = Table()
    table.add_column("recipe", no_wrap=True)
    table.add_column("what it is")
    for name, description in recipes.items():
        table.add_row(name, escape(description))
    return table
