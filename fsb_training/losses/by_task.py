"""What counts as wrong in one task: losses that a recipe names by `LossOptions.by_task`.

cross-entropy   -sum_c t_c log p_c
logit-adjusted  the same of p ~ softmax(logits + tau log prior)
coral           -sum_k t(y > k) log P(y > k) + t(y <= k) log P(y <= k)       ordered tasks
emd             cross-entropy + weight sum_k (P(y <= k) - t(y <= k))^2       ordered tasks

Targets t are distributions: hard labels, votes, neighbours and mixtures alike. A row of zeros, a
missing label, has a loss of zero. All read ordinary logits, so any head goes with any loss.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS, task
from fsb_training.recipe_options import DataOptions, LossOptions

DEFAULT = "cross-entropy"
_RAREST = 1e-8  # prior of a class that is never drawn: its logarithm must be finite


class CrossEntropy(nn.Module):
    """Cross-entropy with label smoothing: (n,) of logits and targets (n, classes).

    Args:
        options: ``label_smoothing`` is the share of each target spread evenly over the classes.
    """

    def __init__(self, options: LossOptions) -> None:
        super().__init__()
        self._smoothing = options.label_smoothing

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Losses (n,) of logits and targets (n, classes)."""
        known = target.sum(dim=1, keepdim=True)
        smoothed = (1 - self._smoothing) * target + self._smoothing * known * self._spread(target)
        return -(smoothed * F.log_softmax(logits.float(), dim=1)).sum(dim=1)

    def _spread(self, target: torch.Tensor) -> torch.Tensor:
        """What smoothing mixes in, of each class: (n, classes) or (classes,), sums to 1."""
        return torch.full_like(target, 1 / target.shape[1])


class LogitAdjusted(CrossEntropy):
    """Cross-entropy of logits + tau log prior, so that the bare logits serve all classes alike.

    Menon et al., "Long-tail learning via logit adjustment", ICLR 2021; tau = 1 is the balanced
    softmax of Ren et al., "Balanced meta-softmax for long-tailed visual recognition", NeurIPS 2020.

    Smoothing is in the shares of the classes: evenly, it would ask of the bare logits that they
    prefer a class that is never drawn.

    Args:
        options: ``tau``, and those of `CrossEntropy`.
    """

    shift: torch.Tensor | None

    def __init__(self, options: LossOptions) -> None:
        super().__init__(options)
        self._tau = options.tau
        # Not in checkpoints: it follows from the data, which are there before the first step.
        self.register_buffer("shift", None, persistent=False)

    def set_prior(self, prior: torch.Tensor) -> None:
        """Take the share (classes,) of each class among the labels that are drawn."""
        self.shift = self._tau * torch.log(prior.float().clamp(min=_RAREST))

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Losses (n,) of logits and targets (n, classes)."""
        if self.shift is None:
            raise RuntimeError("a logit-adjusted loss needs set_prior before the first step")
        return super().forward(logits.float() + self.shift, target)

    def _spread(self, target: torch.Tensor) -> torch.Tensor:
        del target
        assert self.shift is not None
        return self.shift.softmax(dim=0)


class Coral(nn.Module):
    """Binary cross-entropy of "above label k" for every k but the last.

    Cao et al., "Rank consistent ordinal regression for neural networks with application to age
    estimation", Pattern Recognition Letters 2020. The head "coral" has the paper's form.
    """

    def __init__(self, options: LossOptions) -> None:
        del options
        super().__init__()

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Losses (n,) of logits and targets (n, classes)."""
        from coral_pytorch.losses import coral_loss

        # A missing label would be read as the first class, which is above none.
        known = target.sum(dim=1)
        return known * coral_loss(above_logits(logits), _above(target), reduction=None)


class EarthMover(CrossEntropy):
    """Cross-entropy, and the squared earth mover's distance between answer and target.

    Hou et al., "Squared earth mover's distance-based loss for training deep neural networks", 2016.

    Args:
        options: ``emd_weight``, and those of `CrossEntropy`.
    """

    def __init__(self, options: LossOptions) -> None:
        super().__init__(options)
        self._weight = options.emd_weight

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Losses (n,) of logits and targets (n, classes)."""
        said = F.softmax(logits.float(), dim=1).cumsum(dim=1)
        distance = (said - target.cumsum(dim=1)).square().sum(dim=1)
        return super().forward(logits, target) + self._weight * target.sum(dim=1) * distance


def above_logits(logits: torch.Tensor) -> torch.Tensor:
    """Logits of "above label k" from those of classes (n, classes), for every k but the last.

    >>> above_logits(torch.tensor([[0.2, 0.3, 0.5]]).log()).sigmoid()
    tensor([[0.8000, 0.5000]])
    """
    logits = logits.float()
    below = torch.logcumsumexp(logits, dim=1)[:, :-1]
    return torch.logcumsumexp(logits.flip(1), dim=1).flip(1)[:, 1:] - below


def _above(target: torch.Tensor) -> torch.Tensor:
    """Share of a target (n, classes) above label k, for every k but the last."""
    return target.flip(1).cumsum(dim=1).flip(1)[:, 1:]


LOSSES: Mapping[str, type[nn.Module]] = {
    DEFAULT: CrossEntropy,
    "logit-adjusted": LogitAdjusted,
    "coral": Coral,
    "emd": EarthMover,
}
_ORDINAL = ("coral", "emd")


def build_loss(name: str, options: LossOptions) -> nn.Module:
    """A loss (n,) of logits and targets (n, classes), by its name in `LOSSES`."""
    return LOSSES[name](options)


def set_priors(losses: nn.ModuleDict, priors: Mapping[str, NDArray], device: torch.device) -> None:
    """Give each loss that wants it the share (classes,) of each class of its task."""
    for name, loss in losses.items():
        if isinstance(loss, LogitAdjusted):
            loss.set_prior(torch.from_numpy(priors[name]).to(device))


def check_losses(loss: LossOptions, data: DataOptions) -> None:
    """Refuse losses that are not there, or that a task or the way of drawing cannot take.

    Raises:
        UnknownNameError, OptionError: names the task, the value seen and what would do.
    """
    for name, chosen in loss.by_task.items():
        row = task(name)
        if chosen not in LOSSES:
            raise UnknownNameError("loss", chosen, LOSSES)
        if chosen in _ORDINAL and not row.ordered:
            ordered = ", ".join(row.name for row in TASKS.values() if row.ordered)
            raise OptionError(
                f"loss.by_task: got {chosen!r} for {name}, whose labels have no order; "
                f"it is for {ordered}"
            )
        if chosen == "logit-adjusted" and data.balance and name in data.balanced_tasks:
            raise OptionError(
                f"loss.by_task: got 'logit-adjusted' for {name}, whose rare classes are drawn more "
                f"often already: it would correct twice; set data.balance to 0, not {data.balance}"
            )
