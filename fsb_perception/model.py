"""The multitask encoder: one tower, one head for each task, one forward for all tasks.

pixels (n, 3, s, s) -> tower -> feature (n, width) --+-- head gender    -> logits (n, 2)
                                                     +-- head age_group -> logits (n, 9)
                                                     +-- head emotion   -> logits (n, 7)

A tower that is adapted task by task gives each head its own feature, still in one forward.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fsb_perception.adapters.base import AdapterConfig
from fsb_perception.adapters.streams import TaskTower
from fsb_perception.heads import build_head
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.towers.parts import encode


class MultitaskEncoder(nn.Module):
    """A tower with a head for each task.

    Args:
        tower: maps pixels (n, 3, h, w) to features (n, width), or is a `TaskTower`.
        heads: by task; each maps features (n, width) to logits (n, classes).
        text: module that heads share while they learn from text; never on a robot.

    >>> tower = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # width 3
    >>> encoder = MultitaskEncoder(tower, {"gender": build_head("linear", 3, 2)})
    >>> encoder(torch.zeros(5, 3, 8, 8))["gender"].shape
    torch.Size([5, 2])
    """

    def __init__(
        self, tower: nn.Module, heads: Mapping[str, nn.Module], text: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.tower = tower
        self.text = text
        self.heads = nn.ModuleDict(heads)

    def forward(
        self,
        inputs: torch.Tensor,
        labelled: Mapping[str, torch.Tensor] | None = None,
        after: str = "",
    ) -> dict[str, torch.Tensor]:
        """Return logits (n, classes) by task name.

        Args:
            inputs: pixels (n, 3, h, w), normalised RGB; or activations of the tower.
            labelled: for training, bool (n,) by task: the faces that have a label. A head sees no
                others, so that its batch statistics are those of its own faces; their logits are
                zero. A task without labelled faces is left out, so that its head does not change.
            after: the part of the tower that the activations come from, as a name of
                `fsb_perception.towers.parts`; "" for pixels.
        """
        tasks = [task for task in self.heads if labelled is None or bool(labelled[task].any())]
        if isinstance(self.tower, TaskTower):
            features = self.tower(inputs, tasks, after)
        else:
            features = dict.fromkeys(tasks, encode(self.tower, inputs, after))
        features = {task: feature.to(self._precision) for task, feature in features.items()}
        if labelled is None:
            return {task: self.heads[task](features[task]) for task in tasks}
        return {task: self._sparse_logits(task, features[task], labelled[task]) for task in tasks}

    @property
    def _precision(self) -> torch.dtype:
        return next(self.heads.parameters()).dtype

    def cast_tower(self, dtype: torch.dtype) -> MultitaskEncoder:
        """Run the tower in ``dtype`` and the heads as they are: these are cheap, and round worst.

        A cosine times 100 would be off by a tenth in bfloat16, a batch norm by its widest channel.

        Returns:
            This encoder.
        """
        self.tower.to(dtype)
        return self

    def _sparse_logits(self, task: str, feature: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        rows = self.heads[task](feature[mask])
        return rows.new_zeros(len(mask), rows.shape[1]).masked_scatter(mask[:, None], rows)

    def penalty(self) -> torch.Tensor | None:
        """Return the term that the tower's method adds to the last loss; None for most methods."""
        penalty = getattr(self.tower, "penalty", None)
        return penalty() if penalty else None

    def train(self, mode: bool = True) -> MultitaskEncoder:
        """Set the mode, but keep frozen batch norms in evaluation: their statistics are weights."""
        super().train(mode)
        for module in self.tower.modules():
            if isinstance(module, _BatchNorm) and not any(
                parameter.requires_grad for parameter in module.parameters()
            ):
                module.eval()
        return self


def deployed_encoder(
    backbone: str,
    adapter: AdapterConfig,
    head: str,
    classes: Mapping[str, int],
    ordered: Collection[str] = (),
) -> MultitaskEncoder:
    """Build an encoder as a robot runs it, with random weights.

    Args:
        backbone: name of a row of `fsb_perception.towers.backbones`.
        adapter: the method; parts that merge into the tower are absent.
        head: name of a row of `fsb_perception.heads`.
        classes: number of labels by task, in the order of the heads.
        ordered: names of the tasks with ordered labels.

    Raises:
        UnknownNameError: there is no such backbone or head.
    """
    row = BACKBONES[backbone]
    tower = adapter.for_backbone(row).rebuild(row.build(), list(classes))
    heads = {
        task: build_head(head, row.width, count, ordered=task in ordered)
        for task, count in classes.items()
    }
    return MultitaskEncoder(tower, heads)
