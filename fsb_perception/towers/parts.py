"""The parts of an image tower in the order of its forward, and forwards of some parts only.

    pixels -> patch_embed -> positions -> blocks.0 -> blocks.1 -> ... -> norm -> attn_pool -> head
              `--- run_until(tower, "blocks.0", pixels) ---'  `--- run_after(tower, "blocks.0") ---'

A part is named as timm names it. The activations behind a part are its output, except that those
behind ``head`` are the tower's features. Positions belong to the part that follows ``patch_embed``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

STEM, HEAD = "patch_embed", "head"

TOKENS = frozenset({"pos_embed", "cls_token", "reg_token", "latent"})
"""Names of a tower's learned tokens: positions, class and register tokens, the pooling's query."""


if TYPE_CHECKING:

    class ImageTower(nn.Module):
        """The attributes that timm's ``VisionTransformer`` and ``Eva`` have in common."""

        patch_embed: nn.Module
        norm_pre: nn.Module
        blocks: nn.ModuleList
        norm: nn.Module
        attn_pool: nn.Module
        fc_norm: nn.Module
        head: nn.Module
        num_prefix_tokens: int
        grad_checkpointing: bool

        def set_grad_checkpointing(self, enable: bool = True) -> None:
            """Recompute the blocks' activations in the backward."""

        def forward_head(self, tokens: torch.Tensor) -> torch.Tensor:
            """Return features (n, width) of normalised tokens (n, t, w)."""


def inner_tower(tower: nn.Module) -> ImageTower:
    """Return timm's tower out of the modules that an adapter wrapped around it."""
    inner = next(m for m in tower.modules() if STEM in dict(m.named_children()))
    return cast("ImageTower", inner)


def block_name(index: int) -> str:
    """Return the name of a block.

    >>> block_name(3)
    'blocks.3'
    """
    return f"blocks.{index}"


def run_until(tower: ImageTower, part: str, pixels: torch.Tensor) -> torch.Tensor:
    """Run a tower up to and including a part.

    Args:
        tower: timm's.
        part: `STEM`, `block_name` of a block, or `HEAD`.
        pixels: (n, 3, s, s), normalised RGB.

    Returns:
        Activations of the shape that the part gives them: behind a block tokens (n, t, w), behind
        `HEAD` features (n, width).
    """
    if part == HEAD:
        return tower(pixels)
    activations = tower.patch_embed(pixels)
    if part == STEM:
        return activations
    return _run_blocks(tower, 0, _depth(part), _with_positions(tower, activations))


def run_after(tower: ImageTower, part: str, activations: torch.Tensor) -> torch.Tensor:
    """Run the parts of a tower that follow one; the inverse half of `run_until`.

    Returns:
        Features (n, width): bit for bit what the whole tower makes of the same pixels.
    """
    if part == HEAD:
        return activations
    if part == STEM:
        start, tokens = 0, _with_positions(tower, activations)
    else:
        start, tokens = _depth(part), activations
    tokens = _run_blocks(tower, start, len(tower.blocks), tokens)
    return tower.forward_head(tower.norm(tokens))


def encode(tower: nn.Module, inputs: torch.Tensor, after: str = "") -> torch.Tensor:
    """Return the features (n, width) of a tower, plain or wrapped, for pixels or for activations.

    Args:
        tower: timm's, or a module around it. The forward of such a module takes ``after`` too, and
            passes it on to here.
        inputs: pixels (n, 3, s, s); or what `run_until` returned for the part ``after``.
        after: the last part that has run already; "" for pixels.
    """
    if not after:
        return tower(inputs)
    inner = inner_tower(tower)
    if tower is inner or hasattr(tower, "get_base_model"):  # peft's wrapper adds nothing of its own
        return run_after(inner, after, inputs)
    return tower(inputs, after=after)


def _depth(part: str) -> int:
    """Return how many blocks have run behind the block ``part``."""
    return int(part.split(".")[1]) + 1


def _with_positions(tower: ImageTower, activations: torch.Tensor) -> torch.Tensor:
    placed = tower._pos_embed(activations)  # type: ignore[operator]
    tokens = placed[0] if isinstance(placed, tuple) else placed  # Eva adds its rotary positions
    return tower.norm_pre(tokens)


def _run_blocks(tower: ImageTower, start: int, end: int, tokens: torch.Tensor) -> torch.Tensor:
    named, frugal = _rotary_positions(tower), tower.grad_checkpointing
    for block in tower.blocks[start:end]:
        run = partial(block, **named)
        tokens = checkpoint(run, tokens, use_reentrant=False) if frugal else run(tokens)
    return tokens


def _rotary_positions(tower: ImageTower) -> dict[str, torch.Tensor]:
    """Return what the blocks of an ``Eva`` take beside tokens; it depends on the grid alone."""
    rope = getattr(tower, "rope", None)
    return {} if rope is None else {"rope": rope.get_embed()}
