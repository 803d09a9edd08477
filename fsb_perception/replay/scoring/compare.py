"""Two replays of the same recordings: what became better, what worse, and whether that is chance.

People are drawn anew, with repetition, and what they got in both runs with them (paired bootstrap):
a difference counts where its 95 % interval leaves out zero. It is of these people; few people make
wide intervals, however many frames they were in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsb_perception.metric_words import METRICS, metric_of
from fsb_perception.options import OptionError
from fsb_perception.replay.outputs import SUMMARY
from fsb_perception.replay.scoring.criteria import MEASURED, numbers
from fsb_perception.replay.scoring.intervals import interval
from fsb_perception.replay.scoring.persons import Key, Person, from_json

SPEED = (
    *("play.drop_rate", "play.highest_rate", "timing.process.p50_ms", "timing.wait.p95_ms"),
    *("load.cpu_mean", "load.memory_mib_last", "load.memory_mib_a_minute"),
)
"""What is compared besides the metrics."""


@dataclass(frozen=True)
class Change:
    """How a metric differs between two runs.

    Attributes:
        name: of the metric, dotted.
        first, second: its values.
        low, high: 95 % interval of second - first; None where none can be told.
    """

    name: str
    first: float
    second: float
    low: float | None = None
    high: float | None = None

    @property
    def verdict(self) -> str:
        """Better, worse, the same; or "not sure" where the interval holds zero or is not there."""
        if self.first == self.second:
            return "same"
        better = (self.second < self.first) == (metric_of(self.name).better == "lower")
        sure = self.low is not None and self.high is not None and not self.low <= 0 <= self.high
        return ("better" if better else "worse") if sure else "not sure"


def load_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """Summaries by bag, of a folder that ``fsb replay run --out`` wrote or of one bag in it.

    Raises:
        OptionError: there is none, or one that cannot be read.
    """
    paths = sorted([*folder.glob(SUMMARY), *folder.glob(f"*/{SUMMARY}")])
    if not paths:
        raise OptionError(f"{folder}: no {SUMMARY} in it; is it what fsb replay run wrote?")
    found = map(_read, paths)
    return {said["bag"]["sha256"]: said for said in found}


def _read(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        from_json(said.get("people", ()))
        str(said["bag"]["sha256"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise OptionError(f"{path} is no summary of fsb replay run: {error}") from None
    return dict(said)


def compare(
    first: Mapping[str, Mapping[str, Any]], second: Mapping[str, Mapping[str, Any]]
) -> list[Change]:
    """Changes from one run to another on the bags that both have.

    Args:
        first: as of `load_runs`.
        second: likewise.

    Raises:
        OptionError: they have no bag in common, or nothing that both measured.
    """
    common = sorted(set(first) & set(second))
    if not common:
        raise OptionError("the two runs have no bag in common, by its content")
    pairs = [(first[bag], second[bag]) for bag in common]
    ours, theirs = ([_people(pair[side], i) for i, pair in enumerate(pairs)] for side in (0, 1))
    changes = [*_accuracies(_merged(ours), _merged(theirs)), *_others(pairs)]
    if not changes:
        raise OptionError("the two runs measured nothing that both have: give them the --truth")
    return changes


_BagKey = tuple[int, Key]


def _people(said: Mapping[str, Any], bag: int) -> dict[_BagKey, Person]:
    return {(bag, person.key): person for person in from_json(said.get("people", ()))}


def _merged(parts: Sequence[dict[_BagKey, Person]]) -> dict[_BagKey, Person]:
    return {key: person for part in parts for key, person in part.items()}


def _accuracies(ours: Mapping[_BagKey, Person], theirs: Mapping[_BagKey, Person]) -> list[Change]:
    common = sorted(set(ours) & set(theirs))
    changes = []
    for task in dict.fromkeys(key[2] for _, key in common):
        pairs = [(ours[key], theirs[key]) for key in common if key[1][2] == task]
        columns = list(zip(*((p.right, p.looks, q.right, q.looks) for p, q in pairs), strict=True))
        first, second = (sum(columns[i]) / sum(columns[i + 1]) for i in (0, 2))
        changes.append(Change(f"{task}.look_accuracy", first, second, *interval(_gain, columns)))
    return changes


def _gain(*columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accuracy of the second run minus that of the first."""
    right, looks, right_again, looks_again = (column.sum(axis=-1) for column in columns)
    return right_again / looks_again - right / looks


def _others(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[Change]:
    """Means over bags of what else both runs measured; no interval is known of them."""
    tables = [(_measured(ours), _measured(theirs)) for ours, theirs in pairs]
    names = [
        name
        for name in dict.fromkeys(n for ours, _ in tables for n in ours)
        if all(name in ours and name in theirs for ours, theirs in tables)
    ]
    return [
        Change(name, *(float(np.mean([pair[side][name] for pair in tables])) for side in (0, 1)))
        for name in names
    ]


def _measured(said: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that stand for themselves, and speed."""
    metrics = numbers(said.get("metrics", {}))
    found = {name: value for name, value in metrics.items() if _is_compared(name)}
    speed = numbers({part: said.get(part, {}) for part in MEASURED})
    return found | {name: speed[name] for name in SPEED if name in speed}


def _is_compared(name: str) -> bool:
    part, _, last = name.partition(".")
    directed = last in METRICS and METRICS[last].better != ""
    return bool(part) and directed and last != "look_accuracy"  # that one has its interval
