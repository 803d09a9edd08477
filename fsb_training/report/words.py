"""The sentences of a report, the same in HTML, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Sequence

from fsb_perception.metric_words import METRICS, Metric, interval_text, value_text
from fsb_perception.pages.text import listed, plain
from fsb_training.judging.intervals import Interval
from fsb_training.judging.results import Result
from fsb_training.judging.subgroups import largest_gap
from fsb_training.report.collect import Section

_SHOWN = (
    "accuracy", "balanced_accuracy", "macro_f1", "within_one_accuracy", "mae_years", "ece",
    "ece_before", "nll", "brier",
)  # fmt: skip


def metrics_of(results: Sequence[Result]) -> list[Metric]:
    """Return the metrics that a result has, in the order in which they are shown."""
    return [METRICS[name] for name in _SHOWN if any(name in r.metrics for r in results)]


def megabytes(count: int) -> str:
    """Return a number of bytes in MB.

    >>> megabytes(10_900_000)
    '10.9 MB'
    """
    return f"{count / 1e6:,.1f} MB"


def points(difference: float) -> str:
    """Return a difference of shares in percentage points.

    >>> points(0.097)
    '9.7 points'
    """
    return f"{100 * difference:.1f} points"


def points_interval(interval: Interval) -> str:
    """Return the interval of a difference of shares in percentage points.

    >>> points_interval((-0.021, 0.097))
    '-2.1 to 9.7 points'
    """
    low, high = interval
    return f"{100 * low:.1f} to {points(high)}"


def summary(section: Section) -> list[str]:
    """Return three sentences: the faces, the accuracy, and the largest gap between groups."""
    return [_faces(section), _accuracy(section), _largest_gap(section.results)]


def _faces(section: Section) -> str:
    faces: dict[str, int] = {}
    for result in section.results:
        count = int(result.metrics["count"])
        faces[result.spec] = max(faces.get(result.spec, 0), count)
    tasks = dict.fromkeys(plain(result.task) for result in section.results)
    held_out = (
        f"but it learned from {listed(section.learned)}, so these are not numbers of unseen faces"
        if section.learned
        else "none of which it learned from"
    )
    return (
        f"The bundle {section.bundle.name} was asked for {listed(list(tasks))} on "
        f"{sum(faces.values()):,} faces of {listed(list(faces))}, {held_out}."
    )


def _accuracy(section: Section) -> str:
    by_task: dict[str, list[str]] = {}
    for result in section.results:
        share = value_text(result.metrics["accuracy"], "%")
        interval = result.intervals.get("accuracy")
        limits = f" ({interval_text(*interval)})" if interval else ""
        by_task.setdefault(result.task, []).append(f"{share}{limits} on {result.data}")
    parts = [f"{plain(task)} for {listed(texts)}" for task, texts in by_task.items()]
    return f"It is right about {'; '.join(parts)}; in brackets the 95 % interval."


def _largest_gap(results: Sequence[Result]) -> str:
    gaps = [(r, *pair) for r in results if (pair := largest_gap(r.task, r.groupings))]
    if not gaps:
        return (
            "Differences between groups of people are not known: the data sets hold nothing about "
            "them beyond the labels that were asked for, or too few faces of each group."
        )
    result, grouping, gap = max(gaps, key=lambda item: item[2].size)
    return (
        f"The largest gap between groups of people is in {plain(result.task)} on {result.data}, by "
        f"{plain(grouping.name)}: right for {value_text(gap.best.accuracy, '%')} of the "
        f"{gap.best.count:,} faces of {plain(gap.best.name)}, but for "
        f"{value_text(gap.worst.accuracy, '%')} of the {gap.worst.count:,} of "
        f"{plain(gap.worst.name)}, {points(gap.size)} less (95 % interval "
        f"{points_interval(gap.interval)}, of two groups named beforehand; these were found to be "
        "the best and the worst, so some of it is chance)."
    )
