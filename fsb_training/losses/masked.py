"""Losses over several tasks when each face has labels of only some, on one process or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.distributed as dist
from torch import nn

PerFace = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Maps logits and targets (n, classes) to losses (n,): zero where a target's row is zeros."""


def masked_mean(
    per_face: torch.Tensor, target: torch.Tensor, count: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the mean over the faces that have a label; a missing label adds nothing.

    Args:
        per_face: (n,), zero where the label is missing.
        target: (n, classes), rows sum to 1, or to 0 where the label is missing.
        count: divides the sum; by default the number of labelled faces.

    Returns:
        A scalar; zero, with a gradient of zero, where no face has a label.
    """
    return per_face.sum() / (target.sum() if count is None else count).clamp(min=1e-6)


def process_mean(value: torch.Tensor) -> torch.Tensor:
    """Return the mean of a tensor over the processes, without gradient."""
    if not (dist.is_available() and dist.is_initialized()):
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def labelled_counts(targets: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the number of labelled faces by task, averaged over the processes.

    Processes average their gradients. If each divided by its own count, a face on a process with
    few labels would weigh more than others. So all divide by the mean count.
    """
    if not targets:
        return {}
    counts = process_mean(torch.stack([target.sum() for target in targets.values()]))
    return dict(zip(targets, counts.unbind(), strict=True))


def task_losses(
    logits: Mapping[str, torch.Tensor],
    targets: Mapping[str, torch.Tensor],
    counts: Mapping[str, torch.Tensor],
    losses: Mapping[str, PerFace] | nn.ModuleDict,
) -> dict[str, torch.Tensor]:
    """Return the mean loss of every task that has a label on any process.

    A process without a label of such a task adds a zero without gradient.

    Args:
        logits: (n, classes) by task.
        targets: (n, classes) by task, rows sum to 1, or to 0 where the label is missing.
        counts: of `labelled_counts`.
        losses: one for each task.
    """
    return {
        task: masked_mean(losses[task](logits[task], target), target, counts[task])
        if task in logits
        else target.new_zeros(())
        for task, target in targets.items()
        if counts[task] > 0
    }
