"""The layer of MTLoRA: one frozen matrix, a difference for all tasks and one for each task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from fsb_perception.adapters.streams import Streams


class LowRank(NamedTuple):
    """A difference s B A: the rank of A and B, and s.

    >>> LowRank(rank=64, scale=1.0)
    LowRank(rank=64, scale=1.0)
    """

    rank: int
    scale: float


class MultitaskLinear(nn.Module):
    """A linear layer with low-rank differences; of its weights only those train.

    Args:
        linear: the layer whose weight and bias it takes over; they are frozen and keep their names.
        streams: the tasks that are in the batch.
        shared: the difference of all tasks, ``lora_a`` (r, in) and ``lora_b`` (out, r), if any.
        own: the difference of each task, ``task_a`` and ``task_b`` by task. Without it the layer
            stands in front of the branch.
        apart: tasks read W x of the shared stream without the shared difference.
        parts: the output has so many parts, such as query, key and value, each with a pair of its
            own; A is (parts r, in).
        dropout: share of the input hidden from A while training.
        normed: the shared stream gets a LayerNorm of the sum of the tasks' outputs.
    """

    def __init__(
        self,
        linear: nn.Linear,
        streams: Streams,
        shared: LowRank | None,
        own: LowRank | None = None,
        apart: bool = False,
        parts: int = 1,
        dropout: float = 0.0,
        normed: bool = False,
    ) -> None:
        super().__init__()
        self.weight = linear.weight.requires_grad_(False)
        self.bias: nn.Parameter | None = linear.bias
        self._parts, self._dropout = parts, dropout
        self.lora_a: nn.Parameter | None
        self.lora_b: nn.Parameter | None
        self.lora_a, self.lora_b = self._factors(shared.rank) if shared else (None, None)
        pairs = {task: self._factors(own.rank) for task in streams.tasks} if own else {}
        self.task_a = nn.ParameterDict({task: a for task, (a, _) in pairs.items()})
        self.task_b = nn.ParameterDict({task: b for task, (_, b) in pairs.items()})
        width = len(self.weight)
        self.lora_norm = nn.LayerNorm(width).to(self.weight) if normed else None
        self._streams, self._apart = streams, apart
        self._scale = shared.scale if shared else 0.0
        self._own_scale = own.scale if own else 0.0

    def _factors(self, rank: int) -> tuple[nn.Parameter, nn.Parameter]:
        """Return A as `nn.Linear` begins, B of zeros: a difference of zero, with a gradient."""
        outputs, inputs = self.weight.shape
        rows = self.weight.new_empty(self._parts * rank, inputs)
        a = nn.init.kaiming_uniform_(rows, a=math.sqrt(5))
        return nn.Parameter(a), nn.Parameter(self.weight.new_zeros(outputs, rank))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map (count n, ..., in) to (count n, ..., out); in front of the branch count is 1."""
        if not self.task_a:
            return self._with_shared(self._frozen(tokens), tokens)
        shared = self._streams.shared
        rows = self._streams.split(tokens).flatten(1, -2)
        read = rows[:1] if shared else rows  # W meets only the shared stream: it is what costs
        out = self._frozen(read)
        if not self._apart:
            out = self._with_shared(out, read)
        out = self._with_own(out, rows)
        if self.lora_norm is not None:
            total = self.lora_norm(out[1:].sum(dim=0, keepdim=True))
            out = torch.cat((out[:1] + total, out[1:]))
        return out.reshape(*tokens.shape[:-1], out.shape[-1])

    def _frozen(self, rows: torch.Tensor) -> torch.Tensor:
        return F.linear(rows, self.weight, self.bias)

    def _hidden(self, rows: torch.Tensor) -> torch.Tensor:
        return F.dropout(rows, self._dropout, self.training)

    def _wide(self, b: torch.Tensor) -> torch.Tensor:
        """Return B (out, parts r): each part of the output reads the rows of A that are its own."""
        return b if self._parts == 1 else torch.block_diag(*b.chunk(self._parts))

    def _with_shared(self, out: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        if self.lora_a is None or self.lora_b is None:
            return out
        narrow = self._scale * F.linear(self._hidden(rows), self.lora_a)
        return out + F.linear(narrow, self._wide(self.lora_b))

    def _with_own(self, out: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Add s B A x of each stream to ``out`` (count or 1, m, out); ``rows`` are (count, m, in).

        Only the tensors of the active tasks are read. So those of the others get no gradient, which
        is not the same as a gradient of zero: weight decay and momentum turn that into a step.
        """
        pairs = [
            (self.task_a[task], self._wide(self.task_b[task])) for task in self._streams.active
        ]
        if self._streams.shared:
            # One product serves all streams; where the shared one has nothing to add, it is of
            # zeros. To put its rows before the tasks' would copy them all, and memory traffic is
            # the bottleneck of the streams.
            pairs.insert(0, self._pair_of_shared(*pairs[0]))
        rank = max(len(a) for a, _ in pairs)
        a = torch.stack([F.pad(a, (0, 0, 0, rank - len(a))) for a, _ in pairs])
        b = torch.stack([F.pad(b, (0, rank - b.shape[1])) for _, b in pairs])
        narrow = torch.bmm(self._hidden(rows), a.mT)
        return torch.baddbmm(out, narrow, b.mT, alpha=self._own_scale)

    def _pair_of_shared(
        self, like_a: torch.Tensor, like_b: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the shared stream's own A and B, at the tasks' scale; tasks do not read them."""
        if not self._apart or self.lora_a is None or self.lora_b is None:
            return torch.zeros_like(like_a), torch.zeros_like(like_b)
        return self.lora_a * (self._scale / self._own_scale), self._wide(self.lora_b)

    @torch.no_grad()
    def merged(self, unfold: bool = False) -> nn.Module:
        """Return the same map with the fewest weights; consumes the layer.

        Args:
            unfold: where there is no shared stream, spend the least work instead: one matrix for
                each task.
        """
        if self._apart:
            return self  # tasks read W x, the shared stream (W + s B A) x: no one matrix does both
        if unfold and self.task_a and not self._streams.shared:
            weights = {task: self._sum(task) for task in self.task_a}
            return TaskLinear(weights, self.bias, self._streams)
        self.weight.copy_(self._sum())
        self.lora_a = self.lora_b = None
        return self if self.task_a else self._plain()

    def _sum(self, task: str | None = None) -> torch.Tensor:
        """Add W and its differences in float32; round once where W has fewer digits."""
        return self._exact_sum(task).to(self.weight.dtype)

    def _exact_sum(self, task: str | None = None) -> torch.Tensor:
        wide = torch.promote_types(self.weight.dtype, torch.float32)
        total = self.weight.to(wide)
        if self.lora_a is not None and self.lora_b is not None:
            shared = self._wide(self.lora_b).to(wide) @ self.lora_a.to(wide)
            total = total + self._scale * shared
        if task is not None:
            own = self._wide(self.task_b[task]).to(wide) @ self.task_a[task].to(wide)
            total = total + self._own_scale * own
        return total

    def _plain(self) -> nn.Linear:
        outputs, inputs = self.weight.shape
        plain = nn.Linear(inputs, outputs, bias=self.bias is not None, device="meta")
        plain.weight = self.weight
        plain.register_parameter("bias", self.bias)
        return plain


class RowLengthLinear(MultitaskLinear):
    """The layer of DoRA, for all tasks: W' = m (W + s B A) / ||W + s B A||, row by row.

    Liu et al., "DoRA: weight-decomposed low-rank adaptation", ICML 2024. The lengths m begin as
    those of W. As in section 4.3 of the paper, no gradient runs through the norm.

    Args:
        linear: as for `MultitaskLinear`.
        streams: likewise.
        shared: the difference of all tasks.
        parts: as for `MultitaskLinear`.
    """

    def __init__(
        self, linear: nn.Linear, streams: Streams, shared: LowRank, parts: int = 1
    ) -> None:
        super().__init__(linear, streams, shared, parts=parts)
        self.lora_magnitude = nn.Parameter(self.weight.detach().norm(dim=1))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map (n, ..., in) to (n, ..., out)."""
        norm = self._exact_sum().detach().norm(dim=1)
        out = self._with_shared(F.linear(tokens, self.weight), tokens)
        out = out * (self.lora_magnitude / norm).to(out.dtype)
        return out if self.bias is None else out + self.bias.to(out.dtype)

    def _sum(self, task: str | None = None) -> torch.Tensor:
        del task
        total = self._exact_sum()
        ratio = self.lora_magnitude.to(total.dtype) / total.norm(dim=1)
        return (ratio[:, None] * total).to(self.weight.dtype)


class TaskLinear(nn.Module):
    """A linear layer with a matrix for each task, and one bias.

    Args:
        weights: (out, in) by task.
        bias: (out,), if any.
        streams: the tasks that are in the batch, without a shared stream.
    """

    def __init__(
        self, weights: Mapping[str, torch.Tensor], bias: nn.Parameter | None, streams: Streams
    ) -> None:
        super().__init__()
        self.task_weight = nn.ParameterDict(
            {task: nn.Parameter(weight, requires_grad=False) for task, weight in weights.items()}
        )
        self.bias: nn.Parameter | None = bias
        self._streams = streams

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map (tasks n, ..., in) to (tasks n, ..., out)."""
        streams = zip(self._streams.active, self._streams.split(tokens).unbind(), strict=True)
        return torch.cat(
            [F.linear(rows, self.task_weight[task], self.bias) for task, rows in streams]
        )
