"""How the losses of the tasks of a batch become one.

equal        sum_t L_t
uncertainty  sum_t exp(-s_t) L_t + s_t / 2                        s_t learned
uw-so        sum_t w_t L_t,  w = softmax(1 / (T L))               no gradient through w
famo         sum_t w_t L_t,  w ~ softmax(xi) / L                  xi learned from what the step did

A task without a label in the batch takes no part: it is in no sum and no softmax, and what was
learned about it stays. Weights come from the losses of all processes, so all have the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import nn
from torch.optim.adam import adam

from fsb_training.losses.masked import process_mean
from fsb_training.recipe_options import LossOptions

Losses = Mapping[str, torch.Tensor]
_TINY = 1e-8  # a loss may be zero; its logarithm and its inverse must not end a run


class TaskWeights(nn.Module):
    """A scalar from the losses of the tasks that are present.

    Attributes:
        follows: the weights are those of each batch's own losses, so that the batches of one step
            have their own, and none may hold a zero for a task that only another one has.
        looks_back: `after_step` wants the same batch's losses after the optimiser's step.
    """

    follows: ClassVar[bool] = False
    looks_back: ClassVar[bool] = False

    def after_step(self, losses: Losses) -> None:
        """Take note of the losses of the last batch, with the weights that it led to."""


class EqualWeights(TaskWeights):
    """The sum of the tasks' losses."""

    def forward(self, losses: Losses) -> torch.Tensor:
        """A scalar from the losses of the tasks that are present."""
        return torch.stack(list(losses.values())).sum()


class UncertaintyWeights(TaskWeights):
    """sum_t exp(-s_t) L_t + s_t / 2, with s_t learned for every task.

    Kendall et al., "Multi-task learning using uncertainty to weigh losses", CVPR 2018. A task that
    is not in the batch is not in the sum, so its s_t stays.

    Args:
        tasks: their names.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.log_variance = nn.ParameterDict(
            {task: nn.Parameter(torch.zeros(())) for task in tasks}
        )

    def forward(self, losses: Losses) -> torch.Tensor:
        """A scalar from the losses of the tasks that are present."""
        terms = [
            torch.exp(-self.log_variance[task]) * loss + self.log_variance[task] / 2
            for task, loss in losses.items()
        ]
        return torch.stack(terms).sum()


class SoftOptimalWeights(TaskWeights):
    """sum_t w_t L_t, with w the softmax of the inverse losses over a temperature.

    UW-SO: Kirchdorfer et al., "Analytical uncertainty-based loss weighting in multi-task learning",
    GCPR 2024. The best s_t of uncertainty weighting is known in closed form, and makes the inverse
    of each loss its weight; the softmax tempers it. Nothing is learned.

    Args:
        temperature: above 0; the higher, the more equal the weights.
    """

    follows = True

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, losses: Losses) -> torch.Tensor:
        """A scalar from the losses of the tasks that are present."""
        inverse = 1 / (_of_all_processes(losses) + _TINY)
        return _weighted(losses, torch.softmax(inverse / self.temperature, dim=0))


class Famo(TaskWeights):
    """sum_t w_t L_t, with w such that the logarithms of all losses fall equally fast.

    Liu et al., "FAMO: fast adaptive multitask optimization", NeurIPS 2023. With z = softmax(xi),
    the step goes along z_t times the gradient of log L_t, scaled so that w sums to 1. What it did
    to log L_t, delta_t, then moves xi by Adam against J delta, J the Jacobian of the softmax: a
    task that fell more than the others weighs less from then on. Adam's state is in buffers, so
    that a checkpoint holds it and a resumed run goes on exactly.

    Args:
        tasks: their names.
        rate: of Adam on xi.
        decay: pulls xi to zero, equal z.
    """

    follows = looks_back = True
    logits: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    steps: torch.Tensor

    def __init__(self, tasks: Sequence[str], rate: float, decay: float) -> None:
        super().__init__()
        self._index = {task: number for number, task in enumerate(tasks)}
        self._rate, self._decay = rate, decay
        for name in ("logits", "first", "second", "steps"):  # xi, Adam's moments, and its steps
            self.register_buffer(name, torch.zeros(len(tasks)))
        self._before: tuple[list[int], torch.Tensor] | None = None

    def forward(self, losses: Losses) -> torch.Tensor:
        """A scalar from the losses of the tasks that are present."""
        rows, before = [self._index[task] for task in losses], _of_all_processes(losses)
        self._before = rows, before
        share = torch.softmax(self.logits[rows], dim=0) / (before + _TINY)
        return _weighted(losses, share / share.sum())

    @torch.no_grad()
    def after_step(self, losses: Losses) -> None:
        """Move xi by what the step did to the losses of its batch."""
        assert self._before is not None, "forward comes first"
        rows, before = self._before
        fell = torch.log(before + _TINY) - torch.log(_of_all_processes(losses) + _TINY)
        z = torch.softmax(self.logits[rows], dim=0)
        gradient = z * (fell - (z * fell).sum())
        state = [[buffer[row] for row in rows] for buffer in (self.first, self.second, self.steps)]
        adam(
            [self.logits[row] for row in rows], list(gradient), state[0], state[1], [], state[2],
            foreach=False, amsgrad=False, beta1=0.9, beta2=0.999, lr=self._rate,
            weight_decay=self._decay, eps=1e-8, maximize=False,
        )  # fmt: skip


def _of_all_processes(losses: Losses) -> torch.Tensor:
    """(tasks,), float32: the losses of the whole batch, without gradient."""
    return process_mean(torch.stack([loss.detach().float() for loss in losses.values()]))


def _weighted(losses: Losses, weights: torch.Tensor) -> torch.Tensor:
    return (weights * torch.stack(list(losses.values()))).sum()


def build_weights(options: LossOptions, tasks: Sequence[str]) -> TaskWeights:
    """What `LossOptions.weighting` names, for these tasks."""
    if options.weighting == "uncertainty":
        return UncertaintyWeights(tasks)
    if options.weighting == "uw-so":
        return SoftOptimalWeights(options.uw_so_temperature)
    if options.weighting == "famo":
        return Famo(tasks, options.famo_rate, options.famo_decay)
    return EqualWeights()
