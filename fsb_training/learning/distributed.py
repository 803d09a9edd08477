"""Training of one model by several processes, which torchrun starts.

    torchrun --nproc_per_node 2 -m fsb_training.cli -- fit RECIPE --run DIR

    one batch of a step    rank 0: faces 0, 2, 4, ..  -> loss -> gradient --+
                           rank 1: faces 1, 3, 5, ..  -> loss -> gradient --+-- mean -> the step

Losses divide by the labelled faces of all processes (`losses.masked`), so the mean is the
gradient that one process with the whole batch would have, whichever process has which labels. Two
things differ: batch norms normalise by the faces of their own process, and each process draws its
own dropout and noise. Without the "--" torchrun takes --run for one of its own options.
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

from fsb_perception.inference.hardware import choose_device
from fsb_perception.options import OptionError
from fsb_training.learning.batch_norms import forget_counts
from fsb_training.learning.fabric import build_fabric

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PATIENCE = timedelta(hours=12)
"""Limit of the wait for work that rank 0 does alone: face detection, validation, export."""


@dataclass(frozen=True)
class World:
    """The processes that learn one model, as one of them sees them; a single one by default.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
        patient: the same processes as a group that waits up to `PATIENCE`.
        fabric: averages their gradients; None for a single process.
    """

    rank: int = 0
    size: int = 1
    patient: dist.ProcessGroup | None = None
    fabric: Fabric | None = field(default=None, compare=False)

    @property
    def leads(self) -> bool:
        """True for rank 0, the one process that writes, validates and reports."""
        return self.rank == 0

    @property
    def part(self) -> slice:
        """This process's faces of a batch."""
        return slice(self.rank, None, self.size)

    def wait(self) -> None:
        """Wait until every process has called this."""
        if self.size > 1:
            dist.barrier(self.patient)

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let rank 0 run the block first, and then the others, which find its files on disk."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def from_leader(self, value: float) -> float:
        """Return rank 0's value to all processes, which wait for it up to `PATIENCE`."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(shared, 0, self.patient)
        return float(shared)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Return the mean of a tensor over the processes."""
        if self.size == 1:
            return value
        total = value.clone()
        dist.all_reduce(total)
        return total / self.size

    def agree(self, *numbers: int) -> bool:
        """Return whether every process has the same numbers."""
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
    """Join the processes that torchrun started beside this one, if any, and leave them at the end.

    Args:
        batch_size: over all processes.
        device: "auto", "cuda" or "cpu"; with "cuda" each process of a machine takes its own GPU,
            which is the current one from here on.
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
            f"optimiser.batch_size: got {batch_size}, which {size} processes cannot share evenly; "
            f"take a multiple of {size}"
        )
    fabric = build_fabric(choose_device(device), precision, size)
    # Gloo on any device: a barrier of NCCL keeps the GPU busy as long as it lasts, and Fabric's own
    # ends after the limit of a step.
    patient = dist.new_group(backend="gloo", timeout=PATIENCE)
    world = World(fabric.global_rank, size, patient, fabric)
    yield world
    # Not after an error: the others may be in the middle of a step and would never come here. They
    # see the connection break, and torchrun ends them.
    world.wait()
    dist.destroy_process_group()


class _Anchored(nn.Module):
    """A learner whose loss always has a gradient, if only of zero.

    Without a single label the loss of a process depends on no weight. Its backward would not begin,
    and the other processes would wait for its gradients.
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
    """Wrap ``learner`` so that a backward leaves the mean of all processes' gradients in it.

    All begin with the weights of rank 0. The learner itself is still the module that is saved,
    averaged and given to the optimiser.
    """
    forget_counts(learner)
    return fabric.setup_module(_Anchored(learner))
