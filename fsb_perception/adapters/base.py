"""What every method of adaptation has: options, and three things that it can do with a tower."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from fsb_perception.options import Options
from fsb_perception.towers.backbones import Backbone

if TYPE_CHECKING:
    from torch import nn


class AdapterConfig(Options, ABC):
    """Options of one method; a subclass is entered in `fsb_perception.adapters`.

    Attributes:
        merges: the deployed tower is the plain one, at its cost.
        needs_text: logits come from text features, so the backbone must have a text tower.
    """

    merges: ClassVar[bool] = True
    needs_text: ClassVar[bool] = False

    def check(self, row: Backbone, tasks: Sequence[str]) -> None:
        """Refuse what this backbone cannot do, before anything is built.

        Raises:
            OptionError: names option, value seen and what would do.
        """

    def for_backbone(self, row: Backbone) -> AdapterConfig:
        """These options with what they leave to the backbone, such as its layers, filled in."""
        del row
        return self

    def without_values(self) -> AdapterConfig:
        """Options of the same shapes that work without the weights' values, on the meta device."""
        return self

    @abstractmethod
    def adapt(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """Prepare a float32 tower for training; it is changed in place.

        Args:
            tower: a row of `BACKBONES`, built and loaded.
            tasks: in the order of the heads.

        Returns:
            Maps pixels (n, 3, s, s) to features (n, width), or is a `TaskTower`. Of its parameters
            exactly those that train have ``requires_grad``.
        """

    def merge(self, tower: nn.Module) -> nn.Module:
        """The deployed form of what `adapt` returned, in its own precision; consumes it."""
        return tower

    def rebuild(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """The structure that `merge` returns, on a fresh tower, for `load_state_dict`."""
        del tasks
        return tower


def freeze(module: nn.Module) -> nn.Module:
    """Take every parameter of ``module`` out of training."""
    return module.requires_grad_(False)
