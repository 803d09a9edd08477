"""The moving average of a learner; its encoder is the one that ships."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import nn

from fsb_perception._torchvision import mend_torchvision

if TYPE_CHECKING:
    from timm.utils.model_ema import ModelEmaV3


def moving_average(learner: nn.Module, decay: float) -> ModelEmaV3:
    """Return timm's average of ``learner``, restricted to the tensors that can change.

    timm goes through every weight at every step. For a frozen tower that takes longer than the step
    of its heads, and changes nothing.
    """
    mend_torchvision()
    from timm.utils.model_ema import ModelEmaV3

    class MovingAverage(ModelEmaV3):
        def apply_update_(self, model: nn.Module, decay: float) -> None:
            if not hasattr(self, "_pairs"):  # a run keeps its tensors
                self._pairs = list(zip(moving(self.module), moving(model), strict=True))
            floats = [(mine, own) for mine, own in self._pairs if own.is_floating_point()]
            averages, values = map(list, zip(*floats, strict=True))
            self._foreach_lerp_(averages, values, 1.0 - decay)
            for mine, own in self._pairs:
                if not own.is_floating_point():  # how many batches a norm has seen
                    mine.copy_(own)

    return MovingAverage(learner, decay=decay, use_warmup=True)


def moving(module: nn.Module) -> Iterator[torch.Tensor]:
    """Return the parameters that learn, and the buffers."""
    return (tensor for _, tensor in named_moving(module))


def named_moving(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the same tensors with their names; leave out those that a checkpoint does not hold."""
    held = module.state_dict().keys()
    learning = ((name, p) for name, p in module.named_parameters() if p.requires_grad)
    return ((n, t) for n, t in chain(learning, module.named_buffers()) if n in held)
