"""Means over seeds, with 95 % intervals of the test faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fsb_training.experiments.records import Record, unpack


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, in [0, 1] or [-1, 1].

    Attributes:
        mean: mean over the seeds.
        half_width: half of the 95 % interval over the test faces; NaN without one.
        low: value of the lowest seed.
        high: value of the highest seed.
        seeds: number of seeds.

    >>> Estimate(mean=0.871, half_width=0.009, low=0.868, high=0.875, seeds=3).seeds
    3
    """

    mean: float
    half_width: float
    low: float
    high: float
    seeds: int


def accuracy(records: Sequence[Record], task: str) -> Estimate:
    """Return the accuracy of a run over its seeds."""
    return _estimate(_hits(records, task))


def difference(ours: Sequence[Record], others: Sequence[Record], task: str) -> Estimate:
    """Return the accuracy of ``ours`` minus that of ``others``, paired face by face.

    The seeds of each side are averaged first: the interval is over the faces, not over the seeds.
    """
    count = min(len(ours), len(others))
    return _estimate(_hits(ours[:count], task) - _hits(others[:count], task))


def metric(records: Sequence[Record], task: str, name: str) -> Estimate:
    """Return another metric of a task over the seeds, without an interval over the faces."""
    values = np.array([record.metrics[task][name] for record in records])
    return Estimate(
        float(values.mean()), float("nan"), float(values.min()), float(values.max()), len(values)
    )


def _hits(records: Sequence[Record], task: str) -> NDArray[np.float64]:
    """Return (seeds, faces): 1 for a right answer, else 0."""
    rows = [unpack(r.hits[task], int(r.metrics[task]["count"])) for r in records]
    return np.array(rows, np.float64)


def _estimate(rows: NDArray[np.float64]) -> Estimate:
    faces = rows.mean(axis=0)
    half_width = stats.norm.ppf(0.975) * stats.sem(faces) if len(faces) > 1 else float("nan")
    seeds = rows.mean(axis=1)
    return Estimate(
        float(seeds.mean()), float(half_width), float(seeds.min()), float(seeds.max()), len(rows)
    )
