"""The miniatures of both families, and pictures for them; no ROS, no training."""

from __future__ import annotations

import torch
from torch import nn

from fsb_perception.towers.backbones import BACKBONES

MICRO = ("PE-Core-micro", "SigLIP2-micro")


def plain_tower(name: str, seed: int = 0) -> nn.Module:
    """A frozen tower in evaluation, the same at every call with a seed."""
    torch.manual_seed(seed)
    return BACKBONES[name].build().requires_grad_(False).eval()


def noise(name: str, count: int = 3, seed: int = 1) -> torch.Tensor:
    """Pictures of noise of the backbone's size, float32 (count, 3, s, s)."""
    size = BACKBONES[name].size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
