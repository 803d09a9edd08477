"""Metrics of a task on labelled faces, and the temperature that calibrates its confidence."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from fsb_perception.calibration import expected_calibration_error
from fsb_perception.tasks import TASKS
from fsb_perception.types import Floats


def task_metrics(
    task: str,
    probabilities: Floats,
    true: NDArray[np.int64],
    values: Floats | None = None,
    temperature: float | None = None,
) -> dict[str, float | int]:
    """Compute the metrics of one task on labelled faces.

    Args:
        task: name of the task.
        probabilities: (n, classes), rows sum to 1.
        true: (n,) class indexes.
        values: (n,) number behind each label in the task's unit, NaN where unknown.
        temperature: temperature that calibrated the probabilities.

    Returns:
        accuracy, balanced_accuracy (mean recall of the classes present), macro_f1 (mean over the
        classes present or answered), within_one_accuracy of ordered tasks, mae_years where values
        in years are known (see `expected_value`), ece, ece_before (of the same logits at
        temperature 1, where the temperature is known), nll in nats, brier (summed over classes, 0
        to 2), count.

    Raises:
        ValueError: there is no face.
    """
    from sklearn.metrics import (
        accuracy_score,
        balanced_accuracy_score,
        brier_score_loss,
        f1_score,
        log_loss,
    )

    if not len(true):
        raise ValueError(f"{task}: there is no labelled face to judge")
    best = probabilities.argmax(axis=1)
    classes = range(probabilities.shape[1])
    with warnings.catch_warnings():  # a class that is answered but never true has no recall
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        balanced = balanced_accuracy_score(true, best)
    exact = np.asarray(probabilities, np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    metrics: dict[str, float | int] = {
        "accuracy": float(accuracy_score(true, best)),
        "balanced_accuracy": float(balanced),
        "macro_f1": float(f1_score(true, best, average="macro", zero_division=0.0)),
    }
    if TASKS[task].ordered:
        metrics["within_one_accuracy"] = float((abs(best - true) <= 1).mean())
    if values is not None and (known := np.isfinite(values)).any():
        errors = abs(expected_value(task, probabilities) - values)[known]
        metrics[f"mae_{TASKS[task].unit}s"] = float(errors.mean())
    metrics["ece"] = expected_calibration_error(probabilities.max(axis=1), best == true)
    if temperature is not None:
        confidence = uncalibrated(probabilities, temperature).max(axis=1)
        metrics["ece_before"] = expected_calibration_error(confidence, best == true)
    return metrics | {
        "nll": float(log_loss(true, exact, labels=classes)),
        "brier": float(brier_score_loss(true, exact, labels=classes, scale_by_half=False)),
        "count": len(true),
    }


def expected_value(task: str, probabilities: Floats) -> NDArray[np.float64]:
    """Return the expected number (n,), in the task's unit, of probabilities over its ranges.

    Each label counts with the middle of its range: the age groups with 1.5, 6.5, 15, 25, ... 65
    years, and 70+ with 77.5, as if it ended at 85.

    >>> probabilities = np.zeros((1, 9)); probabilities[0, 3:5] = 0.5
    >>> expected_value("age_group", probabilities)  # 20-29 or 30-39
    array([30.])

    Args:
        task: name of a task that has `Task.edges`.
        probabilities: (n, classes), rows sum to 1.
    """
    edges = np.array(TASKS[task].edges, np.float64)
    return probabilities @ ((edges[:-1] + edges[1:]) / 2)


def uncalibrated(probabilities: Floats, temperature: float) -> Floats:
    """Return the probabilities (n, classes) that the same logits give at temperature 1.

    The logarithms of calibrated probabilities are the logits, divided by the temperature, up to a
    constant, which the softmax removes.
    """
    from scipy.special import softmax

    smallest = np.finfo(np.float32).tiny
    logits = np.log(np.maximum(probabilities, smallest, dtype=np.float64)) * temperature
    return np.asarray(softmax(logits, axis=1), np.float32)


def fit_temperature(logits: Floats, true: NDArray[np.int64]) -> float:
    """Return the temperature with the smallest negative log-likelihood (Guo et al., ICML 2017).

    Args:
        logits: (n, classes), of faces outside the training data.
        true: (n,) class indexes.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def loss(log_temperature: float) -> float:
        rows = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-rows[np.arange(len(true)), true].mean())

    minimum = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(minimum.x))


def match_confidence(logits: Floats, true: NDArray[np.int64]) -> float:
    """Return the temperature, 0.2 to 20, at which the mean confidence equals the accuracy.

    The confidence is the probability of the best class, which a robot acts on. The temperature of
    `fit_temperature` also depends on the probabilities of the other classes, and left the
    confidence of nano's age groups two points too high. The accuracy is computed with one right and
    one wrong face more, so that a few right faces do not make the encoder certain.

    Args:
        logits: (n, classes), of faces outside the training data.
        true: (n,) class indexes.
    """
    from scipy.optimize import brentq
    from scipy.special import softmax

    right = int((logits.argmax(axis=1) == true).sum())
    accuracy = (right + 1) / (len(true) + 2)

    def excess(log_temperature: float) -> float:  # falls as the temperature rises
        rows = softmax(logits / np.exp(log_temperature), axis=1)
        return float(rows.max(axis=1).mean()) - accuracy

    low, high = np.log(0.2), np.log(20.0)
    if excess(low) <= 0 or excess(high) >= 0:
        return float(np.exp(low if excess(low) <= 0 else high))
    return float(np.exp(brentq(excess, low, high)))
