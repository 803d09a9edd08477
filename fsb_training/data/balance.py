"""The chance of each face to be drawn into a batch.

    data.shares ---> data.balance ---> data.duplicate
    of data sets     of classes,       of tasks, across the data sets
                     within each

All three change chances; no list repeats an entry. So the drawn shares are exactly those that were
asked for, and a face that is drawn again is augmented differently.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsb_perception.options import OptionError
from fsb_training.datasets.faceset import MISSING, FaceSet
from fsb_training.recipe_options import DataOptions

_log = logging.getLogger(__name__)
_ENOUGH = 1e-9  # of all that is drawn: what duplication may fall short by

Chances = NDArray[np.float64]


@dataclass(frozen=True)
class DrawChances:
    """The chance of each face: first a data set is drawn, then a face of it.

    Attributes:
        shares: (data sets,), sums to 1.
        chances: of each data set (faces,), sums to 1.
    """

    shares: Chances
    chances: tuple[Chances, ...]

    def class_shares(self, targets: Sequence[NDArray[np.float32]]) -> Chances:
        """Return the share of each class among the labels of a task as they are drawn.

        Args:
            targets: of each data set (faces, classes), rows of zeros where the label is missing.

        Returns:
            (classes,), sums to 1; zeros if no face has a label.
        """
        parts = zip(self.shares, self.chances, targets, strict=True)
        total: Chances = np.sum(
            [share * (chances @ rows) for share, chances, rows in parts], axis=0
        )
        return total / total.sum() if total.any() else total


def draw_chances(sets: Sequence[FaceSet], options: DataOptions) -> DrawChances:
    """Return the chance of each face of these data sets.

    Raises:
        OptionError: ``data.duplicate`` names a task of which no face has a label.
    """
    by_face = options.share_of == "faces"
    shares = np.array([options.shares[s.name] * (len(s) if by_face else 1) for s in sets])
    chances = tuple(class_chances(s, options.balanced_tasks, options.balance) for s in sets)
    result = DrawChances(shares / shares.sum(), chances)
    return with_duplicates(result, sets, options.duplicate) if options.duplicate else result


def class_chances(faces: FaceSet, tasks: Sequence[str], power: float) -> Chances:
    """Return the chance (n,) of each face: inverse class frequency to the ``power``.

    The inverse frequencies of a task are scaled to a mean of 1, and averaged over the tasks that a
    face has a label of. A face without any label has the weight 1, the mean of the labelled ones.

    Args:
        faces: n faces.
        tasks: whose classes are balanced.
        power: from 0, the natural frequencies, to 1, where every class of a single task is equally
            likely.
    """
    total, tasks_known = np.zeros(len(faces)), np.zeros(len(faces))
    for task in tasks:
        rows = has_label(faces, task)
        if rows.any():
            labels = faces.labels[task][rows]
            rarity = np.bincount(labels)[labels].astype(np.float64) ** -power
            total[rows] += rarity / rarity.mean()
            tasks_known[rows] += 1
    weight = np.where(tasks_known > 0, total / np.maximum(tasks_known, 1), 1.0)
    return weight / weight.sum()


def has_label(faces: FaceSet, task: str) -> NDArray[np.bool_]:
    """Return the mask (n,) of the faces that have a label of ``task``."""
    labels = faces.labels.get(task)
    return np.zeros(len(faces), bool) if labels is None else labels != MISSING


def copies_to_add(count: float, total: float, fraction: float) -> float:
    """Return how many copies make ``count`` of ``total`` the given fraction of the new total.

    >>> copies_to_add(10, 100, 0.25)  # 30 of 120
    20.0
    >>> copies_to_add(50, 100, 0.25)
    0.0
    """
    return max(0.0, (fraction * total - count) / (1 - fraction))


def with_duplicates(
    before: DrawChances, sets: Sequence[FaceSet], fractions: Mapping[str, float]
) -> DrawChances:
    """Repeat the faces of some tasks until they make up a share of all that is drawn.

    A repeated face counts for all of its tasks and lowers the shares of the others. So the tasks
    take turns until each has its share; as the shares sum to less than 1, this ends.

    Args:
        before: the chances without repetition.
        sets: whose faces they are.
        fractions: least share of faces with a label of the task, by task; sum below 1.
    """
    first = np.concatenate([s * c for s, c in zip(before.shares, before.chances, strict=True)])
    rows = {task: np.concatenate([has_label(s, task) for s in sets]) for task in fractions}
    for task, known in rows.items():
        if not first[known].sum() > 0:
            raise OptionError(
                f"data.duplicate: got {task}, of which no face here has a label; leave it out"
            )
    times = _times(first, rows, fractions)
    parts = np.split(times, np.cumsum([len(s) for s in sets])[:-1])
    weights = [chances * part for chances, part in zip(before.chances, parts, strict=True)]
    shares = before.shares * [weight.sum() for weight in weights]
    return DrawChances(shares / shares.sum(), tuple(weight / weight.sum() for weight in weights))


def _times(
    first: Chances, rows: Mapping[str, NDArray[np.bool_]], fractions: Mapping[str, float]
) -> Chances:
    """Return by how much each face's chance is multiplied."""
    times, added = np.ones(len(first)), 1.0
    while added > _ENOUGH * (first @ times):
        added = sum(_raise(times, first, rows[task], share) for task, share in fractions.items())
    for task, known in rows.items():
        after = first[known] @ times[known] / (first @ times)
        _log.info(
            "data.duplicate: %s more of the %s faces with a label of %s: %.3f of all became %.3f",
            f"{round((times[known] - 1).sum()):,}", f"{known.sum():,}", task, first[known].sum(),
            after,
        )  # fmt: skip
    return times


def _raise(times: Chances, first: Chances, known: NDArray[np.bool_], fraction: float) -> float:
    """Multiply the chances of the ``known`` faces up to the fraction; return what was added."""
    count = float(first[known] @ times[known])
    added = copies_to_add(count, float(first @ times), fraction)
    times[known] *= 1 + added / count
    return added
