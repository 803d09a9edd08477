"""One batch for several tasks: behind the branch it holds a copy of the tokens for each task.

    tokens (n, t, w) --branch--> (s n, t, w) -- blocks, pooling --> (s n, width) --split--> by task
                                 | task 1 | task 2 | ...            {task 1: (n, width), ...}

Attention, norms and residuals never mix the faces of a batch, so the blocks behind the branch need
not know of it; only layers that treat tasks differently do. MTLoRA and task-specific prompts share
this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fsb_perception.towers.parts import encode


@dataclass
class _Batch:
    """The tasks of the current batch, which several `Streams` may refer to."""

    active: tuple[str, ...]


class Streams:
    """The tasks that are in the current batch; one object for all layers of a tower.

    >>> streams = Streams(["gender", "emotion"], shared=True)
    >>> streams.branch(torch.zeros(8, 50, 64)).shape
    torch.Size([24, 50, 64])

    Args:
        tasks: all tasks that the tower knows.
        shared: a stream that belongs to no task stands before those of the tasks.
        together: a task's feature depends on all tasks, so all are computed always.
    """

    def __init__(self, tasks: Sequence[str], shared: bool = False, together: bool = False) -> None:
        self.tasks = tuple(tasks)
        self.shared, self.together = shared, together
        self._batch = _Batch(self.tasks)

    @property
    def active(self) -> tuple[str, ...]:
        """The tasks in the current batch."""
        return self._batch.active

    @active.setter
    def active(self, tasks: tuple[str, ...]) -> None:
        self._batch.active = tasks

    def without_shared(self) -> Streams:
        """Return the streams of the same batch that are left where the shared one ends."""
        rest = Streams(self.tasks, together=self.together)
        rest._batch = self._batch
        return rest

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
        streams: those behind its last layer, of the batch that its layers share.
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
        present = tuple(task for task in streams.tasks if task in wanted)
        if not present:
            return {}
        streams.active = streams.tasks if streams.together else present
        rows = streams.split(encode(self.tower, inputs, after)).unbind()
        features = dict(zip(streams.active, rows[int(streams.shared) :], strict=True))
        return {task: features[task] for task in present}
