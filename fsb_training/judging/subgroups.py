"""How a bundle does on each group of people: by gender, age group, race, and their crossings.

Buolamwini and Gebru, "Gender shades", FAT* 2018: a good average can hide a group that is judged
badly, and the crossing of two attributes can hide what neither shows alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fsb_perception.tasks import TASKS
from fsb_perception.types import Floats
from fsb_training.datasets.faceset import MISSING, FaceSet
from fsb_training.judging.intervals import Interval, gap_interval, share_interval

MIN_COUNT = 30
"""Faces below which a group is named, but not judged: its interval would span a third of all."""

UNKNOWN = "unknown"
_TASKS = ("gender", "age_group")  # whose labels also tell groups of people
_MOST_CROSSED = 3


@dataclass(frozen=True)
class Attribute:
    """What tells groups of faces apart.

    Attributes:
        name: for instance "race".
        levels: its values in the order they are shown; `UNKNOWN` comes last, if at all.
        codes: (n,) the level of each face.
    """

    name: str
    levels: tuple[str, ...]
    codes: NDArray[np.int64]

    def at(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Attribute:
        """The same of some faces."""
        return Attribute(self.name, self.levels, self.codes[rows])


@dataclass(frozen=True)
class Group:
    """Faces that share a value of each attribute.

    Attributes:
        values: one an attribute of the grouping.
        count: of its faces.
        right: those whose label was said.
        near: those of ordered tasks that are at most one label off; None for other tasks.
        judged: there are enough of them for a number.
    """

    values: tuple[str, ...]
    count: int
    right: int
    near: int | None
    judged: bool

    @property
    def name(self) -> str:
        """Its values in one line."""
        return ", ".join(self.values)

    @property
    def accuracy(self) -> float:
        """Share of its faces that are judged right."""
        return self.right / self.count

    @property
    def interval(self) -> Interval:
        """Of the accuracy, by Wilson."""
        return share_interval(self.right, self.count)


@dataclass(frozen=True)
class Gap:
    """How much better the best group is judged than the worst.

    The two are chosen after seeing all: of two groups that are equal in truth one also comes out
    better. The interval is that of two groups chosen beforehand, so it does not cover the choice.
    """

    best: Group
    worst: Group

    @property
    def size(self) -> float:
        """Difference in accuracy, 0 to 1."""
        return self.best.accuracy - self.worst.accuracy

    @property
    def interval(self) -> Interval:
        """Of the difference, by Newcombe."""
        best, worst = self.best, self.worst
        return gap_interval((best.right, best.count), (worst.right, worst.count))


@dataclass(frozen=True)
class Grouping:
    """All faces, sorted into groups by one or several attributes.

    Attributes:
        attributes: names of what they are sorted by.
        groups: every one that has a face, the small ones too: their counts add up to all faces.
    """

    attributes: tuple[str, ...]
    groups: tuple[Group, ...]

    @property
    def name(self) -> str:
        """Its attributes in one line."""
        return " x ".join(self.attributes)

    @property
    def too_small(self) -> tuple[Group, ...]:
        """Groups that have too few faces to be judged."""
        return tuple(group for group in self.groups if not group.judged)

    @property
    def gap(self) -> Gap | None:
        """Between the best and the worst group that is judged; None where there are not two."""
        known = [group for group in self.groups if group.judged and UNKNOWN not in group.values]
        if len(known) < 2:
            return None
        ranked = sorted(known, key=lambda group: group.accuracy)
        return Gap(ranked[-1], ranked[0])


def attributes_of(faces: FaceSet) -> tuple[Attribute, ...]:
    """What a data set knows of its faces that tells groups apart; none for many."""
    found = [_of_task(name, faces.labels[name]) for name in _TASKS if name in faces.labels]
    found += [_of_trait(name, column) for name, column in sorted(faces.traits.items())]
    return tuple(each for each in found if (each.codes < len(each.levels) - 1).any())


def _of_task(name: str, labels: NDArray[np.int64]) -> Attribute:
    levels = (*TASKS[name].labels, UNKNOWN)
    return Attribute(name, levels, np.where(labels == MISSING, len(levels) - 1, labels))


def _of_trait(name: str, column: NDArray[np.str_]) -> Attribute:
    known = sorted(set(column.tolist()) - {""})
    index = {value: code for code, value in enumerate([*known, ""])}
    codes = np.array([index[value] for value in column.tolist()], np.int64)
    return Attribute(name, (*known, UNKNOWN), codes)


def groupings(
    probabilities: Floats,
    true: NDArray[np.int64],
    attributes: Sequence[Attribute],
    *,
    ordered: bool = False,
    min_count: int = MIN_COUNT,
) -> tuple[Grouping, ...]:
    """The faces sorted by each attribute, by every two and by every three of them.

    Args:
        probabilities: (n, classes).
        true: (n,) class indexes.
        attributes: of the same n faces.
        ordered: also count those that are at most one label off.
        min_count: faces that a group must have to be judged.
    """
    off = abs(probabilities.argmax(axis=1) - true)
    most = min(len(attributes), _MOST_CROSSED)
    chosen = [some for size in range(1, most + 1) for some in combinations(attributes, size)]
    return tuple(_grouping(off, some, ordered, min_count) for some in chosen)


def _grouping(
    off: NDArray[np.int64], attributes: Sequence[Attribute], ordered: bool, min_count: int
) -> Grouping:
    codes = np.stack([each.codes for each in attributes], axis=1)
    found, which = np.unique(codes, axis=0, return_inverse=True)
    which = which.reshape(-1)  # NumPy 2.0 alone gives it two dimensions

    def group(number: int) -> Group:
        here = off[which == number]
        levels = zip(attributes, found[number], strict=True)
        return Group(
            values=tuple(each.levels[code] for each, code in levels),
            count=len(here),
            right=int((here == 0).sum()),
            near=int((here <= 1).sum()) if ordered else None,
            judged=len(here) >= min_count,
        )

    names = tuple(each.name for each in attributes)
    return Grouping(names, tuple(group(number) for number in range(len(found))))


def largest_gap(task: str, found: Sequence[Grouping]) -> tuple[Grouping, Gap] | None:
    """The largest gap of a task between groups by one attribute, other than the task's own label.

    Between a task's own labels the gap is one of recall, which the confusion matrix tells; between
    crossings it is mostly one of small groups.
    """
    gaps = [
        (each, each.gap)
        for each in found
        if len(each.attributes) == 1 and each.attributes != (task,) and each.gap is not None
    ]
    return max(gaps, key=lambda pair: pair[1].size, default=None)


def as_json(grouping: Grouping) -> Mapping[str, object]:
    """A grouping as plain values; groups that are too small have a count alone."""
    gap = grouping.gap
    return {
        "attributes": list(grouping.attributes),
        "groups": [_group_json(group) for group in grouping.groups],
        "gap": gap
        and {
            "best": list(gap.best.values),
            "worst": list(gap.worst.values),
            "size": gap.size,
            "interval": list(gap.interval),
        },
    }


def _group_json(group: Group) -> dict[str, object]:
    named: dict[str, object] = {"values": list(group.values), "count": group.count}
    if not group.judged:
        return named | {"too_small": True}
    near = {} if group.near is None else {"within_one_accuracy": group.near / group.count}
    return named | {"accuracy": group.accuracy, "interval": list(group.interval)} | near
