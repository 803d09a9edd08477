"""The multitask encoder: one tower, one head a task, one forward however many tasks there are.

pixels (n, 3, s, s) -> tower -> pooled feature (n, width) --+-- head gender    -> logits (n, 2)
+-- head age_group -> logits (n, 9)
+-- head emotion   -> logits (n, 7)
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


class MultitaskEncoder(nn.Module):
    """A tower with a linear head for each task.

    Args:
        tower: maps pixels (n, 3, h, w) to pooled features (n, width).
        width: length of the pooled feature.
        classes: number of classes by task name.
        dropout: share of the feature hidden from the heads while training.
    """

    def __init__(
        self, tower: nn.Module, width: int, classes: Mapping[str, int], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.tower = tower
        self.heads = nn.ModuleDict(
            {
                task: nn.Sequential(
                    nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, count)
                )
                for task, count in classes.items()
            }
        )

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits (n, classes) by task name for normalised RGB ``pixels`` (n, 3, h, w)."""
        feature = self.tower(pixels)
        return {task: head(feature) for task, head in self.heads.items()}
