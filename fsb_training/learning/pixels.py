"""Pictures as a tower sees them, on the device that learns."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def normalise(batch: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Turn uint8 BGR into float32 RGB, minus the mean and divided by the deviation.

    `fsb_perception.bundles.preprocessing.Preprocessing.pixels` computes the same with numpy.

    Args:
        batch: uint8 BGR (n, 3, height, width).
        mean: of the RGB channels, in [0, 1].
        std: of the RGB channels, in [0, 1].
    """
    rgb = batch.flip(1).float()
    scale = torch.tensor(std, device=batch.device).view(1, 3, 1, 1) * 255.0
    shift = torch.tensor(mean, device=batch.device).view(1, 3, 1, 1) * 255.0
    return rgb.sub_(shift).div_(scale)
