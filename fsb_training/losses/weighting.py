"""Task weights: they add the losses of a batch's tasks up to one scalar.

equal        sum_t L_t
uncertainty  sum_t exp(-s_t) L_t + s_t / 2                        s_t learned
uw-so        sum_t w_t L_t,  w = softmax(1 / (T L))               no gradient through w
famo         sum_t w_t L_t,  w ~ softmax(xi) / L                  xi follows the effect of a step

A task without a label in the batch takes no part: it is in no sum and no softmax, and its learned
weight stays. Weights come from the losses of all processes, so all processes have the same.
To add a weighting, write a subclass of `TaskWeights` and enter it in `WEIGHTINGS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import nn
from torch.optim.adam import adam

from fsb_perception.registry import Registry
from fsb_training.losses.masked import process_mean
from fsb_training.recipe_options import LossOptions

Losses = Mapping[str, torch.Tensor]
_TINY = 1e-8  # a loss may be zero; its logarithm and its inverse must not end a run


class TaskWeights(nn.Module):
    """Adds up the losses of the tasks that are present.

    Args:
        tasks: their names.
        options: of the loss.

    Attributes:
        follows: the weights follow each batch's own losses. Then the batches of one step have
            different weights, and a batch must not hold a zero for a task that it lacks.
        looks_back: `after_step` needs the same batch's losses after the optimiser's step.
    """

    follows: ClassVar[bool] = False
    looks_back: ClassVar[bool] = False

    def __init__(self, tasks: Sequence[str], options: LossOptions) -> None:
        del tasks, options
        super().__init__()

    def after_step(self, losses: Losses) -> None:
        """Take the losses of the last batch, computed with the weights after its step."""


class EqualWeights(TaskWeights):
    """The sum of the tasks' losses."""

    def forward(self, losses: Losses) -> torch.Tensor:
        """Return the weighted sum, a scalar."""
        return torch.stack(list(losses.values())).sum()


class UncertaintyWeights(TaskWeights):
    """sum_t exp(-s_t) L_t + s_t / 2, with s_t learned for every task.

    Kendall et al., "Multi-task learning using uncertainty to weigh losses", CVPR 2018. A task that
    is not in the batch is not in the sum, so its s_t stays.
    """

    def __init__(self, tasks: Sequence[str], options: LossOptions) -> None:
        super().__init__(tasks, options)
        self.log_variance = nn.ParameterDict(
            {task: nn.Parameter(torch.zeros(())) for task in tasks}
        )

    def forward(self, losses: Losses) -> torch.Tensor:
        """Return the weighted sum, a scalar."""
        terms = [
            torch.exp(-self.log_variance[task]) * loss + self.log_variance[task] / 2
            for task, loss in losses.items()
        ]
        return torch.stack(terms).sum()


class SoftOptimalWeights(TaskWeights):
    """sum_t w_t L_t, with w the softmax of the inverse losses over a temperature.

    UW-SO: Kirchdorfer et al., "Analytical uncertainty-based loss weighting in multi-task learning",
    GCPR 2024. The best s_t of uncertainty weighting has a closed form, by which the inverse of each
    loss is its weight; the softmax tempers it. Nothing is learned.

    Args:
        tasks: their names.
        options: ``uw_so_temperature``; the higher, the more equal the weights.
    """

    follows = True

    def __init__(self, tasks: Sequence[str], options: LossOptions) -> None:
        super().__init__(tasks, options)
        self.temperature = options.uw_so_temperature

    def forward(self, losses: Losses) -> torch.Tensor:
        """Return the weighted sum, a scalar."""
        inverse = 1 / (_over_processes(losses) + _TINY)
        return _weighted(losses, torch.softmax(inverse / self.temperature, dim=0))


class Famo(TaskWeights):
    """sum_t w_t L_t, with w such that the logarithms of all losses fall equally fast.

    Liu et al., "FAMO: fast adaptive multitask optimization", NeurIPS 2023. With z = softmax(xi),
    the step goes along z_t times the gradient of log L_t, scaled so that w sums to 1. The step
    lowers log L_t by delta_t. Adam then moves xi against J delta, with J the Jacobian of the
    softmax: a task that fell more than the others weighs less from then on. Adam's state is in
    buffers, so that a checkpoint holds it and a resumed run goes on exactly.

    Args:
        tasks: their names.
        options: ``famo_rate`` of Adam on xi; ``famo_decay`` pulls xi to zero, equal z.
    """

    follows = looks_back = True
    logits: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    steps: torch.Tensor

    def __init__(self, tasks: Sequence[str], options: LossOptions) -> None:
        super().__init__(tasks, options)
        self._index = {task: number for number, task in enumerate(tasks)}
        self._rate, self._decay = options.famo_rate, options.famo_decay
        for name in ("logits", "first", "second", "steps"):  # xi, Adam's moments, and its steps
            self.register_buffer(name, torch.zeros(len(tasks)))
        self._before: tuple[list[int], torch.Tensor] | None = None

    def forward(self, losses: Losses) -> torch.Tensor:
        """Return the weighted sum, a scalar."""
        rows, before = [self._index[task] for task in losses], _over_processes(losses)
        self._before = rows, before
        share = torch.softmax(self.logits[rows], dim=0) / (before + _TINY)
        return _weighted(losses, share / share.sum())

    @torch.no_grad()
    def after_step(self, losses: Losses) -> None:
        """Move xi by the change of the batch's losses."""
        assert self._before is not None, "forward comes first"
        rows, before = self._before
        fell = torch.log(before + _TINY) - torch.log(_over_processes(losses) + _TINY)
        z = torch.softmax(self.logits[rows], dim=0)
        gradient = z * (fell - (z * fell).sum())
        state = [[buffer[row] for row in rows] for buffer in (self.first, self.second, self.steps)]
        adam(
            [self.logits[row] for row in rows], list(gradient), state[0], state[1], [], state[2],
            foreach=False, amsgrad=False, beta1=0.9, beta2=0.999, lr=self._rate,
            weight_decay=self._decay, eps=1e-8, maximize=False,
        )  # fmt: skip


def _over_processes(losses: Losses) -> torch.Tensor:
    """Return the losses of the whole batch, (tasks,), float32, without gradient."""
    return process_mean(torch.stack([loss.detach().float() for loss in losses.values()]))


def _weighted(losses: Losses, weights: torch.Tensor) -> torch.Tensor:
    return (weights * torch.stack(list(losses.values()))).sum()


WEIGHTINGS: Registry[type[TaskWeights]] = Registry(
    "weighting",
    {
        "equal": EqualWeights,
        "uncertainty": UncertaintyWeights,
        "uw-so": SoftOptimalWeights,
        "famo": Famo,
    },
)


def build_weights(options: LossOptions, tasks: Sequence[str]) -> TaskWeights:
    """Build the weights that `LossOptions.weighting` names, for these tasks."""
    return WEIGHTINGS[options.weighting](tasks, options)
