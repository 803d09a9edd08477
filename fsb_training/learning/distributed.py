"""One model learned by several processes, which torchrun starts.

    torchrun --nproc_per_node 2 -m fsb_training.cli -- fit RECIPE --run DIR

    one batch of a step    rank 0: faces 0, 2, 4, ..  -> loss -> gradient --+
                           rank 1: faces 1, 3, 5, ..  -> loss -> gradient --+-- mean -> the step

Losses divide by the labelled faces of all processes (`losses.masked`), so the mean is the
gradient that one process with the whole batch would have, whichever process has which labels. Two
things differ: batch norms normalise by the faces of their own process, and dropout and noise are
drawn by each for itself. Without the "--" torchrun takes --run for one of its own options.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fsb_perception.inference.hardware import choose_device
from fsb_perception.options import OptionError
from fsb_training.learning.fabric import build_fabric

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PATIENCE = timedelta(hours=12)
"""How long the others wait for what rank 0 does alone: looking for faces, judging, exporting."""


@dataclass(frozen=True)
class World:
    """The processes that learn one model, seen from one of them; a single one if not said.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
        patient: the same processes, with `PATIENCE`.
        fabric: joins what they learn; None for a single one.
    """

    rank: int = 0
    size: int = 1
    patient: dist.ProcessGroup | None = None
    fabric: Fabric | None = field(default=None, compare=False)

    @property
    def leads(self) -> bool:
        """Whether it is this process that writes, judges and speaks."""
        return self.rank == 0

    @property
    def part(self) -> slice:
        """Which faces of a batch are this process's."""
        return slice(self.rank, None, self.size)

    def wait(self) -> None:
        """Go on when every process has come here."""
        if self.size > 1:
            dist.barrier(self.patient)

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Rank 0 does it, then all others at once: they find on disk what it has made."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def told(self, value: float) -> float:
        """What rank 0 says; the others wait for it with `PATIENCE`."""
        if self.size == 1:
            return value
        said = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(said, 0, self.patient)
        return float(said)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of a tensor over the processes."""
        if self.size == 1:
            return value
        total = value.clone()
        dist.all_reduce(total)
        return total / self.size

    def agree(self, *numbers: int) -> bool:
        """Whether every process has the same numbers."""
        if self.size == 1:
            return True
        least = torch.tensor(numbers)
        most = least.clone()
        dist.all_reduce(least, dist.ReduceOp.MIN, self.patient)
        dist.all_reduce(most, dist.ReduceOp.MAX, self.patient)
        return torch.equal(least, most)


ALONE = World()
"""The one process of a run without torchrun."""


@contextmanager
def joined(batch_size: int, device: str = "auto", precision: str = "auto") -> Iterator[World]:
    """Join the processes that torchrun started beside this one, if any, and part from them.

    Args:
        batch_size: of a step, over all processes.
        device: "auto", "cuda" or "cpu"; with "cuda" a GPU for each process of a machine, which is
            the current one from here on.
        precision: as of `build_fabric`.

    Raises:
        OptionError: the batch cannot be shared evenly, or a process has no GPU.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    if batch_size % size:
        raise OptionError(
            f"optimiser.batch_size: got {batch_size}, which {size} processes cannot share evenly: "
            f"take a multiple of {size}"
        )
    fabric = build_fabric(choose_device(device), precision, size)
    # By gloo wherever the weights are: a barrier of NCCL keeps the GPU busy as long as it lasts,
    # and Fabric's gives up with the step.
    patient = dist.new_group(backend="gloo", timeout=PATIENCE)
    world = World(fabric.global_rank, size, patient, fabric)
    yield world
    # Only if all went well. After an error others may be in the midst of a step, where nobody can
    # part from them; they see the connection break, and torchrun ends them.
    world.wait()
    dist.destroy_process_group()


class _Anchored(nn.Module):
    """A loss that always has a gradient to give, be it of nothing.

    A process without a single label has a loss that no weight is part of. Its backward would not
    begin, and the others would wait for its gradients.
    """

    def __init__(self, learner: nn.Module) -> None:
        super().__init__()
        self.learner = learner
        self.anchor = nn.Parameter(next(learner.parameters()).new_zeros(()))

    def forward(
        self,
        pixels: torch.Tensor,
        targets: Mapping[str, torch.Tensor],
        counts: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        return self.learner(pixels, targets, counts) + 0 * self.anchor


def wrapped(learner: nn.Module, fabric: Fabric) -> nn.Module:
    """``learner`` such that a backward leaves the mean of all processes' gradients in it.

    All begin with the weights of rank 0. The learner itself stays what is saved, averaged and given
    to the optimiser.
    """
    _forget_counts(learner)
    return fabric.setup_module(_Anchored(learner))


@torch.no_grad()
def average_buffers(module: nn.Module) -> None:
    """Give all processes the mean of their batch norms' running statistics.

    Each counts as much as the batches that it has seen since it was here last, so a head that some
    process never called has the statistics of those that did. All processes must call this, before
    rank 0 judges or saves. Alone it does nothing.

    Args:
        module: a learner that went through `wrapped`, or a moving average of one.
    """
    norms = _statistics(module)
    if not norms or not (dist.is_available() and dist.is_initialized()):
        return
    rows = [_weighted(**norm) for norm in norms]
    total = torch.cat(rows)
    dist.all_reduce(total)
    for norm, row in zip(norms, total.split([len(row) for row in rows]), strict=True):
        if row[-1] > 0:
            mean, variance = (row[:-1] / row[-1]).chunk(2)
            norm["running_mean"].copy_(mean)
            norm["running_var"].copy_(variance)
    _forget_counts(module)


def _statistics(module: nn.Module) -> list[dict[str, torch.Tensor]]:
    """The buffers of every batch norm that has some."""
    norms = (part for part in module.modules() if isinstance(part, _BatchNorm))
    return [dict(norm.named_buffers()) for norm in norms if norm.track_running_stats]


def _weighted(
    running_mean: torch.Tensor, running_var: torch.Tensor, num_batches_tracked: torch.Tensor
) -> torch.Tensor:
    """Mean, variance and a one, times the batches seen; the processes add them up."""
    one = running_mean.new_ones(1)
    return torch.cat([running_mean, running_var, one]) * num_batches_tracked


def _forget_counts(module: nn.Module) -> None:
    """Count batches anew: with a fixed momentum nothing else reads the counters."""
    for norm in _statistics(module):
        norm["num_batches_tracked"].zero_()
