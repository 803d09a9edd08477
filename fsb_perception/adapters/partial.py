"""Partial fine-tuning: the last blocks and the attention pooling learn, the rest stays as it is.

    stem, blocks 0 .. L-k-1, frozen -> blocks L-k .. L-1, trained -> attn_pool, trained -> heads

Early blocks see edges and textures, which faces share with all other pictures. Late blocks see what
the pretraining asked for, which is not age. Yosinski et al., "How transferable are features in deep
neural networks?", NeurIPS 2014. The final norm and the projection stay frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsb_perception.adapters.base import AdapterConfig, freeze
from fsb_perception.options import OptionError, option

if TYPE_CHECKING:
    from torch import nn


class PartialFineTuning(AdapterConfig):
    """The number of last blocks that learn."""

    blocks: int = option(4, "last blocks that learn, beside the attention pooling", ge=0, le=64)

    def adapt(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """Return the tower with its last blocks and its attention pooling in training."""
        del tasks
        freeze(tower)
        for block in last_blocks(tower, self.blocks):
            block.requires_grad_(True)
        tower.get_submodule("attn_pool").requires_grad_(True)
        return tower


def last_blocks(tower: nn.Module, count: int) -> list[nn.Module]:
    """Return the last ``count`` blocks of a tower.

    Raises:
        OptionError: the tower has fewer blocks.
    """
    blocks = list(tower.get_submodule("blocks").children())
    if count > len(blocks):
        raise OptionError(f"blocks: got {count}, the tower has {len(blocks)}")
    return blocks[len(blocks) - count :]
