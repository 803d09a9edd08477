"""What the report says in sentences, and the words of its tables, the same in HTML and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fsb_perception.tasks import TASKS
from fsb_training.judging.intervals import Interval
from fsb_training.judging.results import Result
from fsb_training.judging.subgroups import largest_gap
from fsb_training.report.collect import Section
from fsb_training.report.figures import plain


@dataclass(frozen=True)
class Metric:
    """A row of the explanation: key in the results, name, unit and meaning."""

    key: str
    name: str
    unit: str
    meaning: str


METRICS = (
    Metric("accuracy", "accuracy", "%", "answers that are right"),
    Metric(
        "balanced_accuracy", "balanced accuracy", "%",
        "the same for each label by itself, then averaged: rare labels count like common ones",
    ),
    Metric(
        "macro_f1", "macro F1", "%",
        "as balanced accuracy, but wrong answers also count against the label that was said",
    ),
    Metric(
        "within_one_accuracy", "within one group", "%",
        "answers that are right or name a neighbouring age group",
    ),
    Metric(
        "mae_years", "error in years", "years",
        "mean distance of the expected age from the true one. The expected age takes each age "
        "group for its middle (1.5, 6.5, 15, 25, ... 65, and 77.5 for 70+), weighted by its "
        "probability",
    ),
    Metric(
        "ece", "ECE", "%",
        "expected calibration error: how far confidence and accuracy are apart on average, over 15 "
        "bins of confidence; 0 is perfect",
    ),
    Metric("ece_before", "ECE before", "%", "the same before calibration, at temperature 1"),
    Metric(
        "nll", "log loss", "", "mean of -ln of the true label's probability; 0 is perfect"
    ),
    Metric(
        "brier", "Brier score", "",
        "squared distance of the probabilities from the truth, 0 to 2; 0 is perfect",
    ),
)  # fmt: skip


def shown(results: Sequence[Result]) -> list[Metric]:
    """The metrics that any of the results has."""
    return [each for each in METRICS if any(each.key in result.metrics for result in results)]


def number(value: float, unit: str) -> str:
    """A value in its unit.

    >>> number(0.8788, "%"), number(5.561, "years"), number(0.3126, "")
    ('87.9 %', '5.6 years', '0.313')
    """
    if unit == "%":
        return f"{100 * value:.1f} %"
    return f"{value:.1f} {unit}" if unit else f"{value:.3f}"


def span(interval: Interval | None, unit: str = "%") -> str:
    """An interval without its unit; empty if there is none.

    >>> span((0.8659, 0.8917)), span((0.3, 0.325), "")
    ('86.6 to 89.2', '0.300 to 0.325')
    """
    if interval is None:
        return ""
    return " to ".join(number(end, unit).partition(" ")[0] for end in interval)


def megabytes(count: int) -> str:
    """Bytes for people.

    >>> megabytes(10_900_000)
    '10.9 MB'
    """
    return f"{count / 1e6:,.1f} MB"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def summary(section: Section) -> list[str]:
    """What was judged, how well it does, and whom it serves worst: a sentence each."""
    return [_judged(section), _headline(section), _largest(section.results)]


def _judged(section: Section) -> str:
    faces = {each.spec: int(each.metrics["count"]) for each in section.results}
    for each in section.results:
        faces[each.spec] = max(faces[each.spec], int(each.metrics["count"]))
    tasks = dict.fromkeys(plain(each.task) for each in section.results)
    held_out = (
        f"but it learned from {listed(section.learned)}, so these are not numbers of unseen faces"
        if section.learned
        else "none of which it learned from"
    )
    return (
        f"The bundle {section.bundle.name} was asked for {listed(list(tasks))} on "
        f"{sum(faces.values()):,} faces of {listed(list(faces))}, {held_out}."
    )


def _headline(section: Section) -> str:
    by_task: dict[str, list[str]] = {}
    for each in section.results:
        share = number(each.metrics["accuracy"], "%")
        sure = span(each.intervals.get("accuracy"))
        text = f"{share} ({sure}) on {each.data}" if sure else f"{share} on {each.data}"
        by_task.setdefault(each.task, []).append(text)
    parts = [f"{plain(task)} for {listed(texts)}" for task, texts in by_task.items()]
    return f"It is right about {'; '.join(parts)}; in brackets the 95 % interval."


def _largest(results: Sequence[Result]) -> str:
    found = [(each, *pair) for each in results if (pair := largest_gap(each.task, each.groupings))]
    if not found:
        return (
            "How it does on different groups of people is not known: the data sets tell nothing of "
            "them beyond what was asked, or too few faces of each group."
        )
    result, grouping, gap = max(found, key=lambda each: each[2].size)
    return (
        f"The largest gap between groups of people is in {plain(result.task)} on {result.data}, by "
        f"{plain(grouping.name)}: right for {number(gap.best.accuracy, '%')} of the "
        f"{gap.best.count:,} faces of {plain(gap.best.name)}, but for "
        f"{number(gap.worst.accuracy, '%')} of the {gap.worst.count:,} of {plain(gap.worst.name)}, "
        f"{points(gap.size)} less (95 % interval {span(gap.interval)}, of two groups "
        "named beforehand; these were found to be the best and the worst, so some of it is chance)."
    )


def points(difference: float) -> str:
    """A difference of shares.

    >>> points(0.097)
    '9.7 points'
    """
    return f"{100 * difference:.1f} points"


def labels(result: Result) -> tuple[str, ...]:
    """Of the rows and columns of a confusion matrix."""
    return TASKS[result.task].labels
