"""Means over seeds, and how sure a mean or a difference is."""

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
        mean: over seeds.
        half_width: of its 95 % interval, from the test faces; NaN where it is not of faces.
        low, high: the lowest and the highest seed.
        seeds: how many.
    """

    mean: float
    half_width: float
    low: float
    high: float
    seeds: int


def accuracy(records: Sequence[Record], task: str) -> Estimate:
    """Accuracy of the same run with several seeds."""
    return _estimate(_hits(records, task))


def difference(ours: Sequence[Record], others: Sequence[Record], task: str) -> Estimate:
    """How much more of the same faces ``ours`` recognise than ``others``, paired face by face.

    The seeds of each side are averaged first: the interval is of the faces, not of the seeds.
    """
    count = min(len(ours), len(others))
    return _estimate(_hits(ours[:count], task) - _hits(others[:count], task))


def metric(records: Sequence[Record], task: str, name: str) -> Estimate:
    """Any other number of a task, without an interval of the faces."""
    values = np.array([record.metrics[task][name] for record in records])
    return Estimate(
        float(values.mean()), float("nan"), float(values.min()), float(values.max()), len(values)
    )


def _hits(records: Sequence[Record], task: str) -> NDArray[np.float64]:
    """(seeds, faces): 1 where right."""
    rows = [unpack(r.hits[task], int(r.metrics[task]["count"])) for r in records]
    return np.array(rows, np.float64)


def _estimate(rows: NDArray[np.float64]) -> Estimate:
    faces = rows.mean(axis=0)
    half_width = stats.norm.ppf(0.975) * stats.sem(faces) if len(faces) > 1 else float("nan")
    seeds = rows.mean(axis=1)
    return Estimate(
        float(seeds.mean()), float(half_width), float(seeds.min()), float(seeds.max()), len(rows)
    )
