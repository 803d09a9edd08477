"""Comparison of two replays of the same recordings: better, worse, or within chance.

The persons of the truth are drawn with replacement, each with the looks of both runs (paired
bootstrap). A difference counts where its 95 % interval leaves out zero. It holds for these persons:
few persons make wide intervals, however many frames show them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from fsb_perception.metric_words import METRICS, metric_of
from fsb_perception.options import OptionError
from fsb_perception.replay.metrics import Person
from fsb_perception.replay.outputs import SUMMARY
from fsb_perception.replay.scoring.intervals import interval
from fsb_perception.replay.summary import MEASURED, Summary

SPEED = (
    *("play.drop_rate", "play.highest_rate", "timing.process.p50_ms", "timing.wait.p95_ms"),
    *("load.cpu_mean", "load.memory_mib_last", "load.memory_mib_a_minute"),
)
"""Numbers that are compared besides the metrics."""

Verdict = Literal["better", "worse", "same", "not sure"]

_Pair = tuple[Summary, Summary]
_PersonKey = tuple[int, tuple[str, str, str]]  # number of the bag, then Person.key


@dataclass(frozen=True)
class Change:
    """The difference of one metric between two runs.

    >>> Change("gender.ece", first=0.2, second=0.1, low=-0.15, high=-0.05).verdict
    'better'

    Attributes:
        name: dotted name of the metric.
        first, second: values in the two runs.
        low, high: 95 % interval of second - first; None where none can be computed.
    """

    name: str
    first: float
    second: float
    low: float | None = None
    high: float | None = None

    @property
    def verdict(self) -> Verdict:
        """The direction of the change; "not sure" without an interval that leaves out zero."""
        if self.first == self.second:
            return "same"
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "not sure"
        improved = (self.second < self.first) == (metric_of(self.name).better == "lower")
        return "better" if improved else "worse"


def load_runs(folder: Path) -> dict[str, Summary]:
    """Read the summaries in a folder of ``fsb replay run --out``, or of one bag in it.

    Returns:
        Summaries by the sha256 of their bags.

    Raises:
        OptionError: there is no summary, or one cannot be read.
    """
    paths = sorted([*folder.glob(SUMMARY), *folder.glob(f"*/{SUMMARY}")])
    if not paths:
        raise OptionError(f"{folder}: no {SUMMARY} in it; is it what fsb replay run wrote?")
    return {summary.bag.sha256: summary for summary in map(_read, paths)}


def _read(path: Path) -> Summary:
    try:
        return Summary.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise OptionError(f"{path} is no summary of fsb replay run: {reason}")


def compare(first: Mapping[str, Summary], second: Mapping[str, Summary]) -> list[Change]:
    """Return the changes from one run to another on the bags in both.

    Args:
        first: summaries by the sha256 of their bags; see `load_runs`.
        second: likewise.

    Raises:
        OptionError: the runs have no bag in common, or no number that both measured.
    """
    common = sorted(set(first) & set(second))
    if not common:
        raise OptionError("the two runs have no bag in common, by its content")
    pairs = [(first[bag], second[bag]) for bag in common]
    changes = [*_accuracy_changes(pairs), *_other_changes(pairs)]
    if not changes:
        raise OptionError("the two runs measured nothing that both have: give them the --truth")
    return changes


def _people(summaries: Iterable[Summary]) -> dict[_PersonKey, Person]:
    return {
        (bag, person.key): person
        for bag, summary in enumerate(summaries)
        for person in summary.people or ()
    }


def _accuracy_changes(pairs: Sequence[_Pair]) -> list[Change]:
    ours, theirs = (_people(summaries) for summaries in zip(*pairs, strict=True))
    common = sorted(set(ours) & set(theirs))
    changes = []
    for task in dict.fromkeys(key[2] for _, key in common):
        persons = [(ours[key], theirs[key]) for key in common if key[1][2] == task]
        rows = ((p.right, p.looks, q.right, q.looks) for p, q in persons)
        columns = list(zip(*rows, strict=True))
        first, second = (sum(columns[i]) / sum(columns[i + 1]) for i in (0, 2))
        changes.append(Change(f"{task}.look_accuracy", first, second, *interval(_gain, columns)))
    return changes


def _gain(*columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the accuracy of the second run minus that of the first."""
    right, looks, right_again, looks_again = (column.sum(axis=-1) for column in columns)
    return right_again / looks_again - right / looks


def _other_changes(pairs: Sequence[_Pair]) -> list[Change]:
    """Return the changes of the means over the bags; they have no interval."""
    tables = [(_compared_numbers(ours), _compared_numbers(theirs)) for ours, theirs in pairs]
    names = [
        name
        for name in dict.fromkeys(n for ours, _ in tables for n in ours)
        if all(name in ours and name in theirs for ours, theirs in tables)
    ]
    return [
        Change(name, *(float(np.mean([table[run][name] for table in tables])) for run in (0, 1)))
        for name in names
    ]


def _compared_numbers(summary: Summary) -> dict[str, float]:
    numbers = summary.numbers()
    names = [*filter(_is_compared_metric, numbers), *(name for name in SPEED if name in numbers)]
    return {name: numbers[name] for name in names}


def _is_compared_metric(name: str) -> bool:
    part, _, last = name.partition(".")
    if part in MEASURED or last == "look_accuracy":  # the latter is compared person by person
        return False
    return last in METRICS and METRICS[last].better != ""
