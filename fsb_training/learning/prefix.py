"""The leading part of a tower that does not learn: what it makes of a picture, computed once.

    pixels -> patch_embed -> block 0 -> ... -> block k-1 | block k -> ... -> norm -> attn_pool
              `------------ frozen: the prefix ---------'  ^ learns, or prompts or tasks go in here
                                                           |
                       activations, from the cache --------+      what is in front is not run at all

| method | the prefix |
| --- | --- |
| zero-shot, linear, softcpt | the whole tower: one feature a picture |
| partial | the stem and all blocks but the last |
| lora, dora, mtlora, vpt, v2pt | the stem: on nano its convolutions, half of the work |
| full | none |
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fsb_perception.adapters.prefix import Prompted
from fsb_perception.adapters.streams import Branch
from fsb_perception.model import MultitaskEncoder

WHOLE, STEM = "tower", "patch_embed"


@dataclass(frozen=True)
class Prefix:
    """Where the frozen part of a tower ends.

    Attributes:
        tower: timm's, inside whatever a method wraps around it.
        depth: blocks that belong to it.
        name: of what it is: "tower", "patch_embed", or "blocks" and how many.
    """

    tower: Any
    depth: int
    name: str

    @property
    def _behind(self) -> nn.Module:
        """The module that takes the activations."""
        blocks = self.tower.blocks
        return blocks[self.depth] if self.depth < len(blocks) else self.tower.norm

    @torch.no_grad()
    def run(self, pixels: torch.Tensor) -> torch.Tensor:
        """Activations (n, ...) of ``pixels`` (n, 3, s, s).

        Of a learner in training: its frozen batch norms are held, and towers have no dropout.
        """
        if self.name == WHOLE:
            return self.tower(pixels)
        if self.name == STEM:
            return self.tower.patch_embed(pixels)
        (found,) = self.tower.forward_intermediates(
            pixels, [self.depth - 1], True, stop_early=True, output_fmt="NLC",
            intermediates_only=True,
        )  # fmt: skip
        # Prefix tokens, as of a class, come apart from the patches where there are some.
        return torch.cat(found[::-1], dim=1) if isinstance(found, tuple) else found

    def skip(self) -> None:
        """From here on the encoder takes activations in the place of pixels.

        What is in front passes on what it gets, so the tower's own forward, and all that a method
        wrapped around it, stay as they are. Weights and their names stay too.
        """
        if self.name == WHOLE:
            _replace_forward(self.tower, _same)
        elif self.name == STEM:
            _replace_forward(self.tower.patch_embed, _same)
        else:
            _Detour(self.tower, self.depth).enter(self._behind)

    def weights(self) -> Iterator[tuple[str, torch.Tensor]]:
        """All that the activations depend on, under names that no method changes."""
        if self.name == WHOLE:
            yield from self.tower.state_dict().items()
            return
        yield from self.tower.patch_embed.state_dict().items()
        if self.name != STEM:
            yield from _own(self.tower)
            for index in range(self.depth):
                for name, tensor in self.tower.blocks[index].state_dict().items():
                    yield f"{index}.{name}", tensor

    def fingerprint(self) -> str:
        """A hash of where it ends and of its weights."""
        found = hashlib.sha256(self.name.encode())
        for name, tensor in self.weights():
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
        return found.hexdigest()


def frozen_prefix(encoder: MultitaskEncoder) -> Prefix | None:
    """The longest prefix of an encoder that does not learn; None if the first layer does."""
    tower = inner_tower(encoder.tower)
    plain = tower is encoder.tower
    if plain and not _learns(tower):
        return Prefix(tower, len(tower.blocks), WHOLE)
    if _learns(tower.patch_embed):
        return None
    depth = _frozen_blocks(tower)
    return Prefix(tower, depth, f"blocks {depth}" if depth else STEM)


def inner_tower(tower: nn.Module) -> Any:
    """What a method wrapped its layers around: timm's tower, which has the stem as a child."""
    return next(m for m in tower.modules() if STEM in dict(m.named_children()))


def _frozen_blocks(tower: Any) -> int:
    if any(parameter.requires_grad for parameter in tower.parameters(recurse=False)):
        return 0  # positions or the class token learn, which come before block 0
    learning = (index for index, block in enumerate(tower.blocks) if _learns(block))
    return next(learning, len(tower.blocks))


def _learns(module: nn.Module) -> bool:
    """Whether a module learns, or is where a method puts something in that others do not have."""
    if isinstance(module, Branch | Prompted):
        return True
    return any(parameter.requires_grad for parameter in module.parameters())


def _own(tower: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """What a tower holds beside stem, blocks and what follows them: positions, tokens, norm_pre."""
    yield from tower.named_parameters(recurse=False)
    yield from tower.get_submodule("norm_pre").state_dict(prefix="norm_pre.").items()


class _Detour:
    """Carries activations around the frozen blocks of a tower, to the module behind them.

    The stem remembers them and hands out empty tokens, to which positions are added and which the
    frozen blocks pass on; the module behind takes what is remembered. So rotary positions, class
    token and checkpointing come from timm's own forward.
    """

    def __init__(self, tower: Any, depth: int) -> None:
        self._tower, self._depth = tower, depth
        self._held: torch.Tensor | None = None

    def enter(self, behind: nn.Module) -> None:
        _replace_forward(self._tower.patch_embed, self._hold)
        for block in self._tower.blocks[: self._depth]:
            _replace_forward(block, _same)
        behind.register_forward_pre_hook(self._hand_over)

    def _hold(self, activations: torch.Tensor) -> torch.Tensor:
        self._held = activations
        count, tokens, width = activations.shape
        patches = tokens - self._tower.num_prefix_tokens
        if not self._tower.dynamic_img_size:
            return activations.new_zeros(count, patches, width)
        side = round(patches**0.5)
        return activations.new_zeros(count, side, side, width)

    def _hand_over(self, _module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._held, *inputs[1:])


def _replace_forward(module: nn.Module, forward: Any) -> None:
    # On this object alone, which stays with the process: neither saved nor exported.
    setattr(module, "forward", forward)  # noqa: B010


def _same(tokens: torch.Tensor, *_rest: Any, **_named: Any) -> torch.Tensor:
    return tokens
