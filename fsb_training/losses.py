"""Losses over several tasks of which each face has only some."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F


def masked_cross_entropy(
    logits: torch.Tensor, target: torch.Tensor, smoothing: float = 0.0
) -> torch.Tensor:
    """Mean cross-entropy over the faces that have a label; a missing one adds nothing.

    Args:
        logits: (n, classes).
        target: (n, classes), rows sum to 1, or to 0 where the label is missing.
        smoothing: share of each target spread evenly over the classes.

    Returns:
        A scalar; zero, with a gradient of zero, where no face has a label.
    """
    known = target.sum(dim=1)
    smoothed = (1 - smoothing) * target + smoothing / target.shape[1] * known[:, None]
    per_face = -(smoothed * F.log_softmax(logits.float(), dim=1)).sum(dim=1)
    return per_face.sum() / known.sum().clamp(min=1)


def multitask_loss(
    logits: Mapping[str, torch.Tensor], targets: Mapping[str, torch.Tensor], smoothing: float
) -> torch.Tensor:
    """Sum over the tasks of their masked cross-entropies."""
    losses = [masked_cross_entropy(logits[task], targets[task], smoothing) for task in logits]
    return torch.stack(losses).sum()
