"""Full fine-tuning: the whole tower learns. Every other adapter is measured against it.

    pixels -> [ tower, trained ] -> feature -> heads, trained

Girshick et al., "Rich feature hierarchies for accurate object detection and semantic segmentation",
CVPR 2014, showed what it gains over frozen features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsb_perception.adapters.base import AdapterConfig

if TYPE_CHECKING:
    from torch import nn


class FullFineTuning(AdapterConfig):
    """No options. Training with AdamW takes about four times the memory of the weights."""

    def adapt(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """Return the tower with every parameter in training."""
        del tasks
        return tower.requires_grad_(True)
