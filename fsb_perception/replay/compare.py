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

from fsb_perception.options import OptionError
from fsb_perception.replay.criteria import numbers
from fsb_perception.replay.outputs import SUMMARY
from fsb_perception.replay.persons import Key, Person, from_json

_RESAMPLES = 2000
_SEED = 0
_FEWEST = 2  # people that an interval can be of

BETTER_IF_LOWER = ("ece", "id_switches", "flips_a_minute", "seconds_to_stable", "false", "failed")
"""Last parts of the names of metrics that should be small; the others should be large."""


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
        lower = self.name.rpartition(".")[2] in BETTER_IF_LOWER
        better = (self.second < self.first) == lower
        sure = self.low is not None and self.high is not None and not self.low <= 0 <= self.high
        return ("better" if better else "worse") if sure else "not sure"


def load_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """Summaries by bag, of a folder that ``fsb replay run --out`` wrote or of one bag in it.

    Raises:
        OptionError: there is none.
    """
    paths = sorted([*folder.glob(SUMMARY), *folder.glob(f"*/{SUMMARY}")])
    if not paths:
        raise OptionError(f"{folder}: no {SUMMARY} in it; is it what fsb replay run wrote?")
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return {said["bag"]["sha256"]: said for said in found}


def compare(
    first: Mapping[str, Mapping[str, Any]], second: Mapping[str, Mapping[str, Any]]
) -> list[Change]:
    """Changes from one run to another on the bags that both have.

    Args:
        first: as of `load_runs`.
        second: likewise.

    Raises:
        OptionError: they have no bag in common, or no truth was given.
    """
    common = sorted(set(first) & set(second))
    if not common:
        raise OptionError("the two runs have no bag in common, by its content")
    pairs = [(first[bag], second[bag]) for bag in common]
    if not any("metrics" in said for pair in pairs for said in pair):
        raise OptionError("neither run was judged: give fsb replay run the --truth")
    ours, theirs = ([_people(pair[side], i) for i, pair in enumerate(pairs)] for side in (0, 1))
    return [*_accuracies(_merged(ours), _merged(theirs)), *_others(pairs)]


_BagKey = tuple[int, Key]


def _people(said: Mapping[str, Any], bag: int) -> dict[_BagKey, Person]:
    return {(bag, person.key): person for person in from_json(said.get("people", ()))}


def _merged(parts: Sequence[dict[_BagKey, Person]]) -> dict[_BagKey, Person]:
    return {key: person for part in parts for key, person in part.items()}


def _accuracies(ours: Mapping[_BagKey, Person], theirs: Mapping[_BagKey, Person]) -> list[Change]:
    common = sorted(set(ours) & set(theirs))
    changes = []
    for task in dict.fromkeys(key[2] for _, key in common):
        keys = [key for key in common if key[1][2] == task]
        table = np.array(
            [(p.right, p.looks, q.right, q.looks) for k in keys for p, q in [(ours[k], theirs[k])]],
            float,
        )
        first, second = _shares(table[None])
        low, high = _interval(table)
        changes.append(
            Change(f"{task}.look_accuracy", float(first[0]), float(second[0]), low, high)
        )
    return changes


def _shares(tables: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accuracies of both runs, from (draws, people, 4)."""
    sums = tables.sum(axis=1)
    return sums[:, 0] / sums[:, 1], sums[:, 2] / sums[:, 3]


def _interval(table: NDArray[np.float64]) -> tuple[float | None, float | None]:
    if len(table) < _FEWEST:
        return None, None
    draws = np.random.default_rng(_SEED).integers(0, len(table), (_RESAMPLES, len(table)))
    first, second = _shares(table[draws])
    low, high = np.percentile(second - first, (2.5, 97.5))
    return float(low), float(high)


def _others(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[Change]:
    """Means over bags of what else both runs measured; no interval is known of them."""
    tables = [
        (numbers(ours.get("metrics", {})), numbers(theirs.get("metrics", {})))
        for ours, theirs in pairs
    ]
    names = [
        name
        for name in dict.fromkeys(n for ours, _ in tables for n in ours)
        if all(name in ours and name in theirs for ours, theirs in tables)
        and name.count(".") == 1
        and not name.endswith(("look_accuracy", "_low", "_high", "looks", "tracks", "people"))
    ]
    return [
        Change(name, *(float(np.mean([pair[side][name] for pair in tables])) for side in (0, 1)))
        for name in names
    ]
