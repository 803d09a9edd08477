"""The numbers that a bundle is judged by, from calibrated probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsb_perception._torchvision import mend_torchvision
from fsb_perception.tasks import TASKS
from fsb_perception.types import Floats

ECE_BINS = 15  # of equal width, over the confidence of the top label (Guo et al., ICML 2017)


def task_metrics(
    task: str, probabilities: Floats, true: NDArray[np.int64]
) -> dict[str, float | int]:
    """Metrics of one task on labelled faces.

    Args:
        task: its name; ordered tasks also get ``within_one_accuracy``.
        probabilities: (n, classes), rows sum to 1.
        true: (n,) class indexes.

    Returns:
        accuracy, balanced_accuracy (mean recall of the classes present), within_one_accuracy, ece
        (all in [0, 1]) and count.
    """
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    if not len(true):
        raise ValueError(f"{task}: there is no labelled face to judge")
    best = probabilities.argmax(axis=1)
    metrics: dict[str, float | int] = {
        "accuracy": float(accuracy_score(true, best)),
        "balanced_accuracy": float(balanced_accuracy_score(true, best)),
    }
    if TASKS[task].ordered:
        metrics["within_one_accuracy"] = float((abs(best - true) <= 1).mean())
    return metrics | {"ece": expected_calibration_error(probabilities, true), "count": len(true)}


def expected_calibration_error(probabilities: Floats, true: NDArray[np.int64]) -> float:
    """Mean gap between confidence and accuracy over `ECE_BINS` bins, in [0, 1]."""
    import torch

    mend_torchvision()
    from torchmetrics.functional.classification import multiclass_calibration_error

    error = multiclass_calibration_error(
        torch.from_numpy(np.asarray(probabilities, np.float32)),
        torch.from_numpy(true),
        num_classes=probabilities.shape[1],
        n_bins=ECE_BINS,
        norm="l1",
    )
    return float(error)


def fit_temperature(logits: Floats, true: NDArray[np.int64]) -> float:
    """The temperature with the smallest negative log-likelihood (Guo et al., ICML 2017).

    Args:
        logits: (n, classes), of faces that were not trained on.
        true: (n,) class indexes.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def loss(log_temperature: float) -> float:
        rows = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-rows[np.arange(len(true)), true].mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(found.x))
