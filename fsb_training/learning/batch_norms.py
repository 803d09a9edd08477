"""The running statistics of batch norms, which several processes average now and then.

A process normalises by its own faces, so its statistics differ from those of the others. Rank 0
alone validates and saves, and would do so with its own.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def average_buffers(module: nn.Module) -> None:
    """Give all processes the mean of their batch norms' running statistics.

    A process is weighted by the batches that its norm has seen since the last call, so a head that
    some process never called gets the statistics of the others. All processes must call this before
    rank 0 validates or saves. With a single process it does nothing.

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
    forget_counts(module)


def _statistics(module: nn.Module) -> list[dict[str, torch.Tensor]]:
    """Return the buffers of every batch norm that keeps running statistics."""
    norms = (part for part in module.modules() if isinstance(part, _BatchNorm))
    return [dict(norm.named_buffers()) for norm in norms if norm.track_running_stats]


def _weighted(
    running_mean: torch.Tensor, running_var: torch.Tensor, num_batches_tracked: torch.Tensor
) -> torch.Tensor:
    """Return mean, variance and a one, times the batches seen; the processes add them up."""
    one = running_mean.new_ones(1)
    return torch.cat([running_mean, running_var, one]) * num_batches_tracked


def forget_counts(module: nn.Module) -> None:
    """Set the batch counters to zero: with a fixed momentum nothing else reads them."""
    for norm in _statistics(module):
        norm["num_batches_tracked"].zero_()
