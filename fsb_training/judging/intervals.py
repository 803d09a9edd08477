"""95 % intervals of metrics, by the bootstrap over the faces that they were measured on.

    faces drawn with repetition            counts (resamples, n)  @  per face (n, sums)
                                           -> sums (resamples, ...) -> every metric of a resample

A face is drawn with its labels and answers, so all metrics of a resample are of the same faces.
Every metric here is a function of sums over faces; hence a thousand resamples are one matrix
product. Efron and Tibshirani, "An introduction to the bootstrap", 1993.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fsb_perception.calibration import ECE_BINS, confidence_bins
from fsb_perception.tasks import TASKS
from fsb_perception.types import Floats
from fsb_training.judging.metrics import expected_value, uncalibrated

RESAMPLES = 1000
LEVEL = 0.95
_SEED = 0
_BATCH = 100  # resamples at a time: 10,000 faces then take 8 MB of counts

Interval = tuple[float, float]
_Sums = Mapping[str, NDArray[np.float64]]


def metric_intervals(
    task: str,
    probabilities: Floats,
    true: NDArray[np.int64],
    values: Floats | None = None,
    temperature: float | None = None,
) -> dict[str, Interval]:
    """Compute an interval for each metric of `task_metrics` but the count, on the same arguments.

    The interval holds the percentiles of the resamples, moved so that their mean is the estimate.
    For shares the move is too small to see. The calibration error of a resample is larger on
    average than that of the faces themselves, since chance only adds to it: a small estimate would
    otherwise lie below its own interval.

    Returns:
        (low, high) by name; empty for a single face, which cannot be resampled.
    """
    from scipy.stats import bootstrap

    faces = per_face(task, probabilities, true, values, temperature)
    if len(true) < 2:
        return {}
    table = np.concatenate(list(faces.values()), axis=1)
    ends = np.cumsum([column.shape[1] for column in faces.values()])[:-1]

    def statistic(rows: NDArray[np.int64], axis: int = -1) -> NDArray[np.float64]:
        del axis  # scipy requires the argument, and only passes the last axis
        counts = np.stack([np.bincount(row, minlength=len(true)) for row in rows])
        sums = np.split(counts.astype(np.float64) @ table, ends, axis=1)
        return np.stack(list(metrics_of(dict(zip(faces, sums, strict=True)), task).values()))

    rows = np.arange(len(true))
    estimates = metrics_of(
        {name: column.sum(0, keepdims=True) for name, column in faces.items()}, task
    )
    resampled = bootstrap(
        (rows,),
        statistic,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    )
    means = resampled.bootstrap_distribution.mean(axis=-1)
    low, high = resampled.confidence_interval
    return {
        name: _within(name, float(at[0] + down - mean), float(at[0] + up - mean))
        for (name, at), down, up, mean in zip(estimates.items(), low, high, means, strict=True)
    }


_UNBOUNDED = ("nll", "brier", "mae")


def _within(name: str, low: float, high: float) -> Interval:
    """Limit an interval to possible values: shares to 0 to 1, errors to 0 and above."""
    most = np.inf if name.startswith(_UNBOUNDED) else 1.0
    return max(low, 0.0), min(high, most)


def per_face(
    task: str,
    probabilities: Floats,
    true: NDArray[np.int64],
    values: Floats | None = None,
    temperature: float | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Return the terms of each face in the sums that metrics are made of: (n, ...) by name."""
    classes = probabilities.shape[1]
    best = probabilities.argmax(axis=1)
    exact = np.maximum(probabilities, np.finfo(np.float32).tiny, dtype=np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    faces = {"confusion": _one_hot(true * classes + best, classes**2)}
    if values is not None and np.isfinite(values).any():
        known = np.isfinite(values)
        errors = np.where(known, abs(expected_value(task, probabilities) - values), 0.0)
        faces["errors"] = np.stack([errors, known], axis=1)
    faces["gaps"] = _gaps(probabilities, true)
    if temperature is not None:
        faces["gaps_before"] = _gaps(uncalibrated(probabilities, temperature), true)
    faces["nll"] = -np.log(exact[np.arange(len(true)), true])[:, None]
    faces["brier"] = ((exact - _one_hot(true, classes)) ** 2).sum(axis=1, keepdims=True)
    return faces


def _one_hot(index: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    return np.eye(count)[index]


def _gaps(probabilities: Floats, true: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return confidence minus 1 (right) or 0 (wrong), in the column of its bin: (n, ECE_BINS)."""
    confidence = probabilities.max(axis=1)
    gap = confidence - (probabilities.argmax(axis=1) == true)
    return _one_hot(confidence_bins(confidence), ECE_BINS) * gap[:, None]


def metrics_of(sums: _Sums, task: str) -> dict[str, NDArray[np.float64]]:
    """Return the metrics (b,) by name, from sums (b, ...) over the faces of b resamples."""
    classes = len(TASKS[task].labels)
    confusion = sums["confusion"].reshape(-1, classes, classes)
    count = confusion.sum(axis=(1, 2))
    right = np.diagonal(confusion, axis1=1, axis2=2)
    true, answered = confusion.sum(axis=2), confusion.sum(axis=1)
    metrics = {
        "accuracy": right.sum(axis=1) / count,
        "balanced_accuracy": _mean_ratio(right, true),
        "macro_f1": _mean_ratio(2 * right, true + answered),
    }
    if TASKS[task].ordered:
        near = abs(np.subtract.outer(np.arange(classes), np.arange(classes))) <= 1
        metrics["within_one_accuracy"] = confusion[:, near].sum(axis=1) / count
    if "errors" in sums:
        errors, known = sums["errors"].T
        metrics[f"mae_{TASKS[task].unit}s"] = errors / np.maximum(known, 1)
    for name, gaps in (("ece", "gaps"), ("ece_before", "gaps_before")):
        if gaps in sums:
            metrics[name] = abs(sums[gaps]).sum(axis=1) / count
    return metrics | {name: sums[name][:, 0] / count for name in ("nll", "brier")}


def _mean_ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean (b,) of part / whole, each (b, classes), over classes with a whole."""
    there = whole > 0
    ratios = np.divide(part, whole, out=np.zeros_like(whole), where=there)
    return ratios.sum(axis=1) / np.maximum(there.sum(axis=1), 1)


def share_interval(right: int, count: int) -> Interval:
    """Return Wilson's interval of a share, which suits groups of few faces.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927. A
    bootstrap would call 30 right out of 30 certain.
    """
    from scipy.stats import binomtest

    low, high = binomtest(right, count).proportion_ci(LEVEL, "wilson")
    return float(low), float(high)


def gap_interval(better: tuple[int, int], worse: tuple[int, int]) -> Interval:
    """Return the interval of the difference between the shares of two groups, each (right, count).

    Newcombe, "Interval estimation for the difference between independent proportions", Statistics
    in Medicine 1998, method 10: from Wilson's intervals.
    """
    p, q = better[0] / better[1], worse[0] / worse[1]
    (p_low, p_high), (q_low, q_high) = share_interval(*better), share_interval(*worse)
    down = float(np.hypot(p - p_low, q_high - q))
    up = float(np.hypot(p_high - p, q - q_low))
    return p - q - down, p - q + up
