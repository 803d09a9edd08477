"""One batch for several tasks: behind the branch it holds a copy of the tokens for each task.

    tokens (n, t, w) --branch--> (s n, t, w) -- blocks, pooling --> (s n, width) --split--> by task
                                 | task 1 | task 2 | ...            {task 1: (n, width), ...}

Attention, norms and residuals never mix the faces of a batch, so the blocks behind the branch need
not know of it; only layers that treat tasks differently do. MTLoRA and task-specific prompts share
this module.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from fsb_perception.towers.parts import encode


class Streams:
    """The tasks that are in the current batch; one object for all layers of a tower.

    >>> streams = Streams(["gender", "emotion"], shared=True)
    >>> streams.branch(torch.zeros(8, 50, 64)).shape
    torch.Size([24, 50, 64])

    Args:
        tasks: all tasks that the tower knows.
        shared: a stream that belongs to no task stands before those of the tasks.
    """

    def __init__(self, tasks: Sequence[str], shared: bool = False) -> None:
        self.tasks = tuple(tasks)
        self.active = self.tasks
        self.shared = shared

    @property
    def count(self) -> int:
        """The number of copies of a face in the batch."""
        return len(self.active) + self.shared

    def branch(self, tokens: torch.Tensor) -> torch.Tensor:
        """Repeat (n, ...) to (count n, ...), whole batches behind each other."""
        return tokens.repeat(self.count, *[1] * (tokens.ndim - 1))

    def split(self, rows: torch.Tensor) -> torch.Tensor:
        """Split (count n, ...) into (count, n, ...)."""
        return rows.unflatten(0, (self.count, -1))


class Branch(nn.Module):
    """A block or pooling that gets a copy of the batch for each stream.

    Args:
        inner: the block or pooling; takes tokens first.
        streams: those of the tower.
    """

    def __init__(self, inner: nn.Module, streams: Streams) -> None:
        super().__init__()
        self.inner = inner
        self._streams = streams

    def forward(self, tokens: torch.Tensor, *rest: object, **named: object) -> torch.Tensor:
        """Return what ``inner`` makes of the branched batch."""
        return self.inner(self._streams.branch(tokens), *rest, **named)


class TaskTower(nn.Module):
    """A tower that gives every task a feature of its own, in one forward.

    Args:
        tower: timm's, with a `Branch` among its parts.
        streams: the object that its layers share.
    """

    def __init__(self, tower: nn.Module, streams: Streams) -> None:
        super().__init__()
        self.tower = tower
        self.streams = streams

    def forward(
        self, inputs: torch.Tensor, tasks: Sequence[str] | None = None, after: str = ""
    ) -> dict[str, torch.Tensor]:
        """Return features (n, width) by task.

        Args:
            inputs: pixels (n, 3, s, s), normalised RGB; or activations.
            tasks: the tasks to compute, in any order; None for all.
            after: the part of the tower that the activations come from; "" for pixels.
        """
        streams = self.streams
        wanted = streams.tasks if tasks is None else tasks
        streams.active = tuple(task for task in streams.tasks if task in wanted)
        if not streams.active:
            return {}
        rows = streams.split(encode(self.tower, inputs, after)).unbind()
        return dict(zip(streams.active, rows[int(streams.shared) :], strict=True))
