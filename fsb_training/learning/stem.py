"""The feature of a tower's stem, on which a loss helps the transformer above it to start."""

from __future__ import annotations

import torch
from torch import nn


class StemFeature:
    """The mean over the grid that a tower's stem put out in its last forward.

    A transformer on a fresh stem stays at chance level for long (measured: 77,000 pictures with
    labels, over 140,000 with captions). A throw-away head on this feature ends that by deep
    supervision (Lee et al., "Deeply-supervised nets", AISTATS 2015).

    Args:
        tower: with a submodule ``patch_embed``.
    """

    def __init__(self, tower: nn.Module) -> None:
        self._last: torch.Tensor | None = None
        tower.get_submodule("patch_embed").register_forward_hook(self._keep)

    def _keep(self, _module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        self._last = output.mean(dim=tuple(range(1, output.ndim - 1)))

    def take(self) -> torch.Tensor:
        """Return the feature (n, width) of the last forward, and forget it."""
        feature, self._last = self._last, None
        assert feature is not None, "take() follows a forward of the tower"
        return feature
