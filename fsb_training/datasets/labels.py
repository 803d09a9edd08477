"""Labels and ages of a data set as columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fsb_perception.tasks import TASKS, age_group
from fsb_training.datasets.faceset import MISSING


def label_column(task: str, labels: Sequence[str | None]) -> NDArray[np.int64]:
    """Return the index of each label in the task table; None becomes `MISSING`."""
    index = {label: number for number, label in enumerate(TASKS[task].labels)}
    return np.array([MISSING if label is None else index[label] for label in labels], np.int64)


def age_columns(ages: Sequence[float | None]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return age_group labels, by the years completed, and the ages as values; None is unknown.

    >>> age_columns([2.9, 3.0, None])
    (array([ 0,  1, -1]), array([2.9, 3. , nan], dtype=float32))
    """
    groups = [MISSING if age is None else age_group(int(age)) for age in ages]
    values = [np.nan if age is None else age for age in ages]
    return np.array(groups, np.int64), np.array(values, np.float32)
