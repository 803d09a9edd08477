"""The losses of one task, which a recipe names by `LossOptions.by_task`.

cross-entropy   -sum_c t_c log p_c
logit-adjusted  the same of p ~ softmax(logits + tau log prior)
coral           -sum_k t(y > k) log P(y > k) + t(y <= k) log P(y <= k)       ordered tasks
emd             cross-entropy + weight sum_k (P(y <= k) - t(y <= k))^2       ordered tasks
emd-ground      cross-entropy + weight sum_i p_i^2 (sum_j t_j D_ij^2 - c)    ordered tasks

Targets t are distributions: hard labels, votes, neighbours and mixtures alike. A row of zeros, a
missing label, has a loss of zero. All losses read ordinary logits, so any head goes with any loss.
To add a loss, write a subclass of `TaskLoss` and enter it in `LOSSES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from fsb_perception.options import OptionError
from fsb_perception.registry import Registry
from fsb_perception.tasks import TASKS, Task
from fsb_training.recipe_options import DataOptions, LossOptions

DEFAULT = "cross-entropy"
_RAREST = 1e-8  # prior of a class that is never drawn: its logarithm must be finite


class TaskLoss(nn.Module):
    """A loss that takes logits and targets (n, classes) and returns a value per face, (n,).

    Attributes:
        ordered_only: the loss is for tasks whose labels have an order.
        corrects_imbalance: the loss needs the share of each class, and corrects for it.
    """

    ordered_only: ClassVar[bool] = False
    corrects_imbalance: ClassVar[bool] = False

    def __init__(self, options: LossOptions) -> None:
        del options
        super().__init__()

    def set_task(self, task: Task) -> None:
        """Take the task that the loss is for."""

    def set_prior(self, prior: torch.Tensor) -> None:
        """Take the share (classes,) of each class among the labels that are drawn."""


class CrossEntropy(TaskLoss):
    """Cross-entropy with label smoothing.

    Args:
        options: ``label_smoothing`` is the share of each target spread evenly over the classes.
    """

    def __init__(self, options: LossOptions) -> None:
        super().__init__(options)
        self._smoothing = options.label_smoothing

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return losses (n,) of logits and targets (n, classes)."""
        known = target.sum(dim=1, keepdim=True)
        smoothed = (1 - self._smoothing) * target + self._smoothing * known * self._spread(target)
        return -(smoothed * F.log_softmax(logits.float(), dim=1)).sum(dim=1)

    def _spread(self, target: torch.Tensor) -> torch.Tensor:
        """Return the distribution that smoothing mixes in, (n, classes) or (classes,)."""
        return torch.full_like(target, 1 / target.shape[1])


class LogitAdjusted(CrossEntropy):
    """Cross-entropy of logits + tau log prior; the bare logits then treat all classes alike.

    Menon et al., "Long-tail learning via logit adjustment", ICLR 2021; tau = 1 is the balanced
    softmax of Ren et al., "Balanced meta-softmax for long-tailed visual recognition", NeurIPS 2020.

    Smoothing mixes in the shares of the classes. An even mixture would make the bare logits prefer
    a class that is never drawn.

    Args:
        options: ``tau``, and those of `CrossEntropy`.
    """

    corrects_imbalance = True
    shift: torch.Tensor | None

    def __init__(self, options: LossOptions) -> None:
        super().__init__(options)
        self._tau = options.tau
        # Not in checkpoints: it follows from the data, which are read before the first step.
        self.register_buffer("shift", None, persistent=False)

    def set_prior(self, prior: torch.Tensor) -> None:
        """Take the share (classes,) of each class among the labels that are drawn."""
        self.shift = self._tau * torch.log(prior.float().clamp(min=_RAREST))

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return losses (n,) of logits and targets (n, classes)."""
        if self.shift is None:
            raise RuntimeError("a logit-adjusted loss needs set_prior before the first step")
        return super().forward(logits.float() + self.shift, target)

    def _spread(self, target: torch.Tensor) -> torch.Tensor:
        del target
        assert self.shift is not None
        return self.shift.softmax(dim=0)


class Coral(TaskLoss):
    """Binary cross-entropy of "above label k" for every k but the last.

    Cao et al., "Rank consistent ordinal regression for neural networks with application to age
    estimation", Pattern Recognition Letters 2020. The head "coral" has the paper's form.
    """

    ordered_only = True

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return losses (n,) of logits and targets (n, classes)."""
        from coral_pytorch.losses import coral_loss

        # A missing label would be read as the first class, which is above none.
        known = target.sum(dim=1)
        return known * coral_loss(above_logits(logits), _above(target), reduction=None)


class EarthMover(CrossEntropy):
    """Cross-entropy plus the squared earth mover's distance between answer and target.

    Hou et al., "Squared earth mover's distance-based loss for training deep neural networks", 2016.

    Args:
        options: ``emd_weight``, and those of `CrossEntropy`.
    """

    ordered_only = True

    def __init__(self, options: LossOptions) -> None:
        super().__init__(options)
        self._weight = options.emd_weight

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return losses (n,) of logits and targets (n, classes)."""
        below = F.softmax(logits.float(), dim=1).cumsum(dim=1)
        distance = (below - target.cumsum(dim=1)).square().sum(dim=1)
        return super().forward(logits, target) + self._weight * target.sum(dim=1) * distance


class GroundDistance(CrossEntropy):
    """Cross-entropy plus the squared probabilities, weighted by their classes' squared distances.

    Equation 16 of Hou et al. (see `EarthMover`). D_ij is the distance of two classes, from 0 to 1;
    the offset c is subtracted from its square, so that probability on the true class is rewarded.

    Args:
        options: ``emd_ground_weight``, ``emd_ground_offset``, and those of `CrossEntropy`.
    """

    ordered_only = True
    squares: torch.Tensor

    def __init__(self, options: LossOptions) -> None:
        super().__init__(options)
        self._weight, self._offset = options.emd_ground_weight, options.emd_ground_offset
        self.register_buffer("squares", torch.zeros(0, 0), persistent=False)

    def set_task(self, task: Task) -> None:
        """Compute the squared distances (classes, classes) of the task's labels."""
        places = torch.tensor(class_places(task))
        self.squares = (places[:, None] - places).square()

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return losses (n,) of logits and targets (n, classes)."""
        known = target.sum(dim=1, keepdim=True)
        distance = target @ self.squares - self._offset * known
        term = (F.softmax(logits.float(), dim=1).square() * distance).sum(dim=1)
        return super().forward(logits, target) + self._weight * term


def class_places(task: Task) -> list[float]:
    """Return the place of each label of an ordered task, from 0 for the first to 1 for the last.

    Labels that are ranges stand at their middles, others at equal distances.

    >>> [round(place, 2) for place in class_places(TASKS["age_group"])]
    [0.0, 0.07, 0.18, 0.31, 0.44, 0.57, 0.7, 0.84, 1.0]
    """
    middles = [(low + high) / 2 for low, high in pairwise(task.edges)] or [
        float(index) for index in range(len(task.labels))
    ]
    return [(middle - middles[0]) / (middles[-1] - middles[0]) for middle in middles]


def above_logits(logits: torch.Tensor) -> torch.Tensor:
    """Return logits of "above label k" for every k but the last, (n, classes - 1).

    Args:
        logits: of the classes, (n, classes).

    >>> above_logits(torch.tensor([[0.2, 0.3, 0.5]]).log()).sigmoid()
    tensor([[0.8000, 0.5000]])
    """
    logits = logits.float()
    below = torch.logcumsumexp(logits, dim=1)[:, :-1]
    return torch.logcumsumexp(logits.flip(1), dim=1).flip(1)[:, 1:] - below


def _above(target: torch.Tensor) -> torch.Tensor:
    """Return the share of a target (n, classes) above label k, for every k but the last."""
    return target.flip(1).cumsum(dim=1).flip(1)[:, 1:]


LOSSES: Registry[type[TaskLoss]] = Registry(
    "loss",
    {
        DEFAULT: CrossEntropy,
        "logit-adjusted": LogitAdjusted,
        "coral": Coral,
        "emd": EarthMover,
        "emd-ground": GroundDistance,
    },
)


def build_loss(name: str, options: LossOptions, task: Task | None = None) -> TaskLoss:
    """Build the loss that `LOSSES` has under ``name``, for the classes of ``task``.

    A loss that takes all classes alike needs no task.
    """
    loss = LOSSES[name](options)
    if task is not None:
        loss.set_task(task)
    return loss


def set_priors(
    losses: nn.ModuleDict, priors: Mapping[str, NDArray[np.floating]], device: torch.device
) -> None:
    """Give each loss that corrects for imbalance the share (classes,) of each class of its task."""
    for name, loss in losses.items():
        if isinstance(loss, TaskLoss) and loss.corrects_imbalance:
            loss.set_prior(torch.from_numpy(priors[name]).to(device))


def check_losses(loss: LossOptions, data: DataOptions) -> None:
    """Refuse unknown losses, and those that do not fit a task or its balancing.

    Raises:
        UnknownNameError, OptionError: names the task, the value seen and what to do.
    """
    for name, chosen in loss.by_task.items():
        row, kind = TASKS[name], LOSSES[chosen]
        if kind.ordered_only and not row.ordered:
            ordered = ", ".join(row.name for row in TASKS.values() if row.ordered)
            raise OptionError(
                f"loss.by_task: got {chosen!r} for {name}, whose labels have no order; "
                f"it is for {ordered}"
            )
        if kind.corrects_imbalance and data.balance and name in data.balanced_tasks:
            raise OptionError(
                f"loss.by_task: got {chosen!r} for {name}, whose rare classes are drawn more "
                f"often already: it would correct twice; set data.balance to 0, not {data.balance}"
            )
