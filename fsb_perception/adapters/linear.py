"""Linear probing: the tower stays as it is, and only the heads learn.

    pixels -> [ tower, frozen ] -> feature -> heads, trained

Alain and Bengio, "Understanding intermediate layers using linear classifier probes", 2016. The
features of a picture never change, so training computes them once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsb_perception.adapters.base import AdapterConfig, freeze

if TYPE_CHECKING:
    from torch import nn


class LinearProbing(AdapterConfig):
    """No options. The recipe's head decides how many parameters learn."""

    def adapt(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """Return the tower, frozen."""
        del tasks
        return freeze(tower)
