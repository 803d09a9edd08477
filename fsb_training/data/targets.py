"""Targets of training: for each face a distribution over the labels of a task."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsb_perception.tasks import TASKS, Task
from fsb_perception.types import Floats
from fsb_training.datasets.faceset import MISSING, FaceSet
from fsb_training.recipe_options import LossOptions


def targets(faces: FaceSet, task: str, options: LossOptions) -> Floats:
    """Return distributions over the labels, float32 (n, classes); rows of zeros where unknown.

    Votes are used as they are. A hard label of an ordered task is spread, since 29 and 31 look
    alike (label distribution learning, Geng, TKDE 2016): by a Gaussian of ``label_sigma``, or by
    a share ``age_neighbours`` for the two labels beside it.
    """
    if task in faces.soft_labels:
        return faces.soft_labels[task]
    row, labels = TASKS[task], faces.labels.get(task)
    result = np.zeros((len(faces), len(row.labels)), np.float32)
    if labels is None:
        return result
    known = np.flatnonzero(labels != MISSING)
    if row.ordered and options.label_sigma:
        values = faces.values.get(task, np.full(len(faces), np.nan))
        result[known] = gaussian(row, labels[known], values[known], options.label_sigma)
        return result
    result[known, labels[known]] = 1.0
    if row.ordered and options.age_neighbours:
        result = result @ _neighbour_matrix(len(row.labels), options.age_neighbours)
    return result


def _neighbour_matrix(classes: int, share: float) -> Floats:
    matrix = np.eye(classes) + share / 2 * (np.eye(classes, k=1) + np.eye(classes, k=-1))
    return (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)


def gaussian(task: Task, labels: NDArray[np.int64], values: Floats, sigma: float) -> Floats:
    """Return how much of a Gaussian around each face's value lies in each label's range.

    Gao et al., "Deep label distribution learning with label ambiguity", TIP 2017, but with the mass
    of each range in place of the density at its middle, since age groups differ in width. The
    first and the last label reach to infinity.

    Args:
        task: its ``edges`` are the ranges; without them, labels are one unit wide.
        labels: (n,) class indexes.
        values: (n,) in the task's unit; where NaN, the middle of the label's range is taken. Whole
            numbers are ages in years completed, of which the middle is half a year later.
        sigma: standard deviation in the task's unit, above 0.

    Returns:
        (n, classes), float32, rows sum to 1.
    """
    from scipy.special import ndtr

    edges = np.array(task.edges or range(len(task.labels) + 1), np.float64)
    middles = (edges[:-1] + edges[1:]) / 2
    centres = np.where(np.isnan(values), middles[labels], values + 0.5 * (values % 1 == 0))
    inner = ndtr((edges[None, 1:-1] - centres[:, None]) / sigma)
    bounds = np.pad(inner, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1)))
    return np.diff(bounds, axis=1).astype(np.float32)
