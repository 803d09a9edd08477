"""Accuracy by group of people: by gender, age group, race, and their crossings.

Buolamwini and Gebru, "Gender shades", FAT* 2018: a good average can hide a group with bad answers,
and the crossing of two attributes can show what neither shows alone.
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
"""Faces below which a group is listed, but not judged: its interval would be over a third wide."""

UNKNOWN = "unknown"
_TASKS = ("gender", "age_group")  # tasks whose labels are also groups of people
_MOST_CROSSED = 3


@dataclass(frozen=True)
class Attribute:
    """A property of people by which faces are grouped.

    Attributes:
        name: for instance "race".
        levels: values in the order in which they are shown; the last is `UNKNOWN`.
        codes: (n,) index of the level of each face.
    """

    name: str
    levels: tuple[str, ...]
    codes: NDArray[np.int64]

    def at(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Attribute:
        """Return the attribute of some of the faces."""
        return Attribute(self.name, self.levels, self.codes[rows])


@dataclass(frozen=True)
class Group:
    """Faces that share a value of each attribute.

    Attributes:
        values: one value for each attribute of the grouping.
        count: number of faces.
        right: number of faces with a right answer.
        near: number of faces with an answer at most one label off; None for unordered tasks.
        judged: True if there are enough faces for a number.

    >>> group = Group(("female", "20-29"), count=40, right=38, near=None, judged=True)
    >>> group.name, group.accuracy
    ('female, 20-29', 0.95)
    """

    values: tuple[str, ...]
    count: int
    right: int
    near: int | None
    judged: bool

    @property
    def name(self) -> str:
        """The values in one line."""
        return ", ".join(self.values)

    @property
    def accuracy(self) -> float:
        """Share of the faces with a right answer."""
        return self.right / self.count

    @property
    def interval(self) -> Interval:
        """95 % interval of the accuracy, by Wilson."""
        return share_interval(self.right, self.count)


@dataclass(frozen=True)
class Gap:
    """The difference between the groups of the highest and the lowest accuracy.

    The two are chosen after seeing all groups: of two groups that are equal in truth, one also
    comes out better. The interval is that of two groups chosen beforehand, so it does not cover the
    choice.
    """

    best: Group
    worst: Group

    @property
    def size(self) -> float:
        """Difference in accuracy, 0 to 1."""
        return self.best.accuracy - self.worst.accuracy

    @property
    def interval(self) -> Interval:
        """95 % interval of the difference, by Newcombe."""
        best, worst = self.best, self.worst
        return gap_interval((best.right, best.count), (worst.right, worst.count))


@dataclass(frozen=True)
class Grouping:
    """All faces, divided into groups by one or several attributes.

    Attributes:
        attributes: names of the attributes.
        groups: every group with a face, small ones too: their counts add up to all faces.
    """

    attributes: tuple[str, ...]
    groups: tuple[Group, ...]

    @property
    def name(self) -> str:
        """The attributes in one line."""
        return " x ".join(self.attributes)

    @property
    def too_small(self) -> tuple[Group, ...]:
        """Groups with too few faces to be judged."""
        return tuple(group for group in self.groups if not group.judged)

    @property
    def gap(self) -> Gap | None:
        """Gap between the best and the worst judged group; None if fewer than two are judged."""
        known = [group for group in self.groups if group.judged and UNKNOWN not in group.values]
        if len(known) < 2:
            return None
        ranked = sorted(known, key=lambda group: group.accuracy)
        return Gap(ranked[-1], ranked[0])


def attributes_of(faces: FaceSet) -> tuple[Attribute, ...]:
    """Return the attributes that a data set knows of a face; many data sets know none."""
    known = [_task_attribute(name, faces.labels[name]) for name in _TASKS if name in faces.labels]
    known += [_trait_attribute(name, column) for name, column in sorted(faces.traits.items())]
    return tuple(item for item in known if (item.codes < len(item.levels) - 1).any())


def _task_attribute(name: str, labels: NDArray[np.int64]) -> Attribute:
    levels = (*TASKS[name].labels, UNKNOWN)
    return Attribute(name, levels, np.where(labels == MISSING, len(levels) - 1, labels))


def _trait_attribute(name: str, column: NDArray[np.str_]) -> Attribute:
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
    """Group the faces by each attribute, by every two and by every three of them.

    Args:
        probabilities: (n, classes).
        true: (n,) class indexes.
        attributes: attributes of the same n faces.
        ordered: also count answers that are at most one label off.
        min_count: number of faces that a group must have to be judged.
    """
    off = abs(probabilities.argmax(axis=1) - true)
    most = min(len(attributes), _MOST_CROSSED)
    chosen = [some for size in range(1, most + 1) for some in combinations(attributes, size)]
    return tuple(_grouping(off, some, ordered, min_count) for some in chosen)


def _grouping(
    off: NDArray[np.int64], attributes: Sequence[Attribute], ordered: bool, min_count: int
) -> Grouping:
    codes = np.stack([attribute.codes for attribute in attributes], axis=1)
    combinations_seen, numbers = np.unique(codes, axis=0, return_inverse=True)
    numbers = numbers.reshape(-1)  # NumPy 2.0 alone gives it two dimensions

    def group(number: int) -> Group:
        here = off[numbers == number]
        levels = zip(attributes, combinations_seen[number], strict=True)
        return Group(
            values=tuple(attribute.levels[code] for attribute, code in levels),
            count=len(here),
            right=int((here == 0).sum()),
            near=int((here <= 1).sum()) if ordered else None,
            judged=len(here) >= min_count,
        )

    names = tuple(attribute.name for attribute in attributes)
    return Grouping(names, tuple(map(group, range(len(combinations_seen)))))


def largest_gap(task: str, task_groupings: Sequence[Grouping]) -> tuple[Grouping, Gap] | None:
    """Return the largest gap between groups by one attribute other than the task's own label.

    A gap between a task's own labels is one of recall, which the confusion matrix shows; a gap
    between crossings is mostly one between small groups.
    """
    gaps = [
        (grouping, grouping.gap)
        for grouping in task_groupings
        if len(grouping.attributes) == 1
        and grouping.attributes != (task,)
        and grouping.gap is not None
    ]
    return max(gaps, key=lambda pair: pair[1].size, default=None)


def as_json(grouping: Grouping) -> Mapping[str, object]:
    """Return a grouping as plain values; groups that are too small have a count alone."""
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
    values: dict[str, object] = {"values": list(group.values), "count": group.count}
    if not group.judged:
        return values | {"too_small": True}
    near = {} if group.near is None else {"within_one_accuracy": group.near / group.count}
    return values | {"accuracy": group.accuracy, "interval": list(group.interval)} | near
