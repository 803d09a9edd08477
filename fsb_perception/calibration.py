"""Calibration: how far the confidence of answers is from how often they are right.

Guo et al., "On calibration of modern neural networks", ICML 2017: the expected calibration error
(ECE) of the top label, over bins of confidence of equal width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fsb_perception._torchvision import mend_torchvision

ECE_BINS = 15

_BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))


def confidence_bins(confidence: ArrayLike) -> NDArray[np.int64]:
    """Return the bin of each confidence, 0 to ``ECE_BINS - 1``; an edge is in the upper bin.

    >>> confidence_bins([0.0, 0.05, 0.5, 1.0])
    array([ 0,  0,  7, 14])

    Args:
        confidence: (n,) probabilities of the top label.
    """
    edges = np.linspace(0, 1, ECE_BINS + 1, dtype=np.float32)
    return np.searchsorted(edges, _within(confidence), "right") - 1


def expected_calibration_error(confidence: ArrayLike, right: ArrayLike) -> float:
    """Return the mean distance of confidence and accuracy over the bins, 0 to 1.

    >>> round(expected_calibration_error([0.9, 0.9, 0.9, 0.9], [True, True, True, False]), 3)
    0.15

    Args:
        confidence: (n,) probabilities of the top label.
        right: (n,) True where the top label is the true one.
    """
    import torch

    mend_torchvision()  # torchmetrics imports torchvision where it is installed
    from torchmetrics.functional.classification import binary_calibration_error

    hits = torch.from_numpy(np.asarray(right, np.int64))
    return float(
        binary_calibration_error(torch.from_numpy(_within(confidence)), hits, n_bins=ECE_BINS)
    )


def _within(confidence: ArrayLike) -> NDArray[np.float32]:
    # torchmetrics gives a confidence of exactly 1 a bin of its own, the sixteenth.
    return np.minimum(np.asarray(confidence, np.float32), _BELOW_ONE)
