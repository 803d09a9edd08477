"""Tokens that go into a tower beside those of the picture; VPT and V2PT share this module.

    stem, positions          before block 0                 before block i, if a set is given for it
    [class | patches]  -->  [class | prompts | patches]  -->  [class | fresh prompts | patches]

A source makes the prompts of a block from the tokens that come in. The prompts stay until the
attention pooling, which attends to them as to any token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from fsb_perception.adapters.streams import Streams
from fsb_perception.towers.parts import inner_tower


class SharedPrompts(nn.Module):
    """The same prompts for every face and task.

    Args:
        tower: its patch projection sets the prompts' width and first values.
        count: the number of prompts.
        init: as for `fresh_prompts`.
    """

    def __init__(self, tower: nn.Module, count: int, init: str = "patch") -> None:
        super().__init__()
        self.prompt = fresh_prompts(tower, count, init)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return prompts (n, count, w) for ``tokens`` (n, t, w)."""
        return self.prompt.expand(tokens.shape[0], -1, -1)


class TaskPrompts(nn.Module):
    """A set of prompts for each task; neither the sets nor their gradients mix.

    Args:
        tower: as in `SharedPrompts`.
        count: the number of prompts of one task.
        streams: the tasks that are in the batch.
        init: as for `fresh_prompts`.
    """

    def __init__(self, tower: nn.Module, count: int, streams: Streams, init: str = "patch") -> None:
        super().__init__()
        self._streams = streams
        self.prompt = nn.ParameterDict(
            {task: fresh_prompts(tower, count, init) for task in streams.tasks}
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return prompts (s n, count, w) for the branched ``tokens`` (s n, t, w)."""
        sets = torch.stack([self.prompt[task] for task in self._streams.active])
        faces = self._streams.split(tokens).shape[1]
        return sets[:, None].expand(-1, faces, -1, -1).flatten(0, 1)


class Prompted(nn.Module):
    """A block with prompts among its tokens.

    Args:
        inner: the block; takes tokens (n, t, w) first.
        source: maps tokens to prompts (n, count, w).
        start: the number of the tower's own tokens that stand before the prompts.
        replaced: the number of prompts of the block before, which these replace.
        dropout: share of the prompts' channels hidden while training.
    """

    def __init__(
        self, inner: nn.Module, source: nn.Module, start: int, replaced: int, dropout: float
    ) -> None:
        super().__init__()
        self.inner = inner
        self.source = source
        self.dropout = nn.Dropout(dropout)
        self._start, self._replaced = start, replaced

    def forward(self, tokens: torch.Tensor, *rest: object, **named: object) -> torch.Tensor:
        """Return what ``inner`` makes of the tokens with prompts among them."""
        prompts = self.dropout(self.source(tokens))
        before, behind = tokens[:, : self._start], tokens[:, self._start + self._replaced :]
        return self.inner(torch.cat((before, prompts, behind), dim=1), *rest, **named)


def fresh_prompts(tower: nn.Module, count: int, init: str = "patch") -> nn.Parameter:
    """Draw prompts (count, w).

    Args:
        tower: gives their width.
        count: the number of prompts.
        init: "patch" is that of Jia et al., uniform within Xavier's bound of a patch; the bound is
            sqrt(6 / (3 patch^2 + w)), from the matrix that makes tokens of patches. "normal" is
            N(0, 1).
    """
    projection = tower.get_submodule("patch_embed.proj").get_parameter("weight")
    width, inputs = projection.shape[0], projection[0].numel()
    if init == "normal":
        return nn.Parameter(projection.new_empty(count, width).normal_())
    bound = math.sqrt(6 / (inputs + width))
    return nn.Parameter(projection.new_empty(count, width).uniform_(-bound, bound))


def insert_prompts(
    tower: nn.Module,
    sources: Sequence[nn.Module],
    count: int,
    dropout: float = 0.0,
    before_norm: bool = False,
) -> None:
    """Put ``count`` prompts before each of the first blocks of ``tower``, in place.

    Args:
        tower: a row of `BACKBONES`, without prompts.
        sources: one for each of the first blocks. The first adds its prompts, the others replace
            those of the block before.
        count: the number of prompts that each source makes.
        dropout: share of the prompts' channels hidden while training.
        before_norm: the first prompts go in before the norm in front of the blocks, which then
            normalises them too; a tower without that norm does not differ.
    """
    inner = inner_tower(tower)
    for block in inner.blocks:
        attention = block.get_submodule("attn")
        if hasattr(attention, "num_prefix_tokens"):  # rotary positions are only for patches
            attention.num_prefix_tokens += count  # type: ignore[assignment, operator]
    for index, source in enumerate(sources):
        replaced, start = count if index else 0, inner.num_prefix_tokens
        if before_norm and not index:
            inner.norm_pre = Prompted(inner.norm_pre, source, start, replaced, dropout)
        else:
            block = inner.blocks[index]
            inner.blocks[index] = Prompted(block, source, start, replaced, dropout)
