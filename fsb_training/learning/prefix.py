"""The leading part of a tower that does not learn: what it makes of a picture, computed once.

    pixels -> patch_embed -> block 0 -> ... -> block k-1 | block k -> ... -> norm -> attn_pool
              `------------ frozen: the prefix ---------'  ^ learns, or prompts or tasks go in here
                                                           |
                       activations, from the cache --------+     the parts in front do not run again

An adapter that trains nothing of the tower leaves it whole: one feature a picture. One that trains
the last blocks leaves the stem and the other blocks; low-rank adapters and prompts leave the stem,
which on nano is half of the work; full fine-tuning leaves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fsb_perception.adapters.base import AdapterConfig
from fsb_perception.model import MultitaskEncoder
from fsb_perception.towers.parts import HEAD, STEM, block_name, inner_tower, run_until

if TYPE_CHECKING:
    from fsb_perception.towers.parts import ImageTower


@dataclass(frozen=True)
class Prefix:
    """The frozen parts of a tower, from its first one on.

    Attributes:
        tower: timm's, inside whatever an adapter wraps around it.
        part: the last part that is frozen, as a name of `fsb_perception.towers.parts`.
        blocks: how many blocks are frozen.
    """

    tower: ImageTower
    part: str
    blocks: int

    @property
    def name(self) -> str:
        """The frozen parts in a word: "tower", "patch_embed", or "blocks" and how many."""
        if self.part == HEAD:
            return "tower"
        return f"blocks {self.blocks}" if self.blocks else self.part

    @torch.no_grad()
    def run(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the activations (n, ...) of ``pixels`` (n, 3, s, s).

        A learner in training may be asked: its frozen batch norms are in evaluation, and towers
        have no dropout.
        """
        return run_until(self.tower, self.part, pixels)

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield all that the activations depend on, under names that no adapter changes."""
        if self.part == HEAD:
            yield from self.tower.state_dict().items()
            return
        yield from self.tower.patch_embed.state_dict().items()
        if self.blocks:
            yield from self.tower.named_parameters(recurse=False)
            yield from self.tower.norm_pre.state_dict(prefix="norm_pre.").items()
        for index in range(self.blocks):
            for name, tensor in self.tower.blocks[index].state_dict().items():
                yield f"{index}.{name}", tensor

    def fingerprint(self) -> str:
        """Return a hash of where the prefix ends and of its weights."""
        digest = hashlib.sha256(self.name.encode())
        for name, tensor in self.weights():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
        return digest.hexdigest()


def frozen_prefix(encoder: MultitaskEncoder, adapter: AdapterConfig) -> Prefix | None:
    """Return the longest prefix of an encoder that training leaves as it is.

    Args:
        encoder: in its training form.
        adapter: the method that made it; it says which parts it changes.

    Returns:
        None if the first part changes.
    """
    tower = inner_tower(encoder.tower)
    if adapter.changes(tower.patch_embed):
        return None
    blocks = _frozen_blocks(tower, adapter)
    behind = (tower.norm, tower.attn_pool, tower.fc_norm, tower.head)
    if blocks == len(tower.blocks) and not any(map(adapter.changes, behind)):
        return Prefix(tower, HEAD, blocks)
    return Prefix(tower, block_name(blocks - 1) if blocks else STEM, blocks)


def _frozen_blocks(tower: ImageTower, adapter: AdapterConfig) -> int:
    own = tower.parameters(recurse=False)  # positions and tokens, which come before block 0
    if any(p.requires_grad for p in own) or adapter.changes(tower.norm_pre):
        return 0
    changed = (index for index, block in enumerate(tower.blocks) if adapter.changes(block))
    return next(changed, len(tower.blocks))
