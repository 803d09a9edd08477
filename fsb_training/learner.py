"""What a run trains: the encoder in its training form, and what only training needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from fsb_perception.backbones import BACKBONES
from fsb_perception.tasks import TASKS
from fsb_training.assembly import assemble
from fsb_training.losses import build_weights, labelled_counts, task_losses
from fsb_training.recipe import Recipe
from fsb_training.recipe_options import LossOptions


class Learner(nn.Module):
    """Encoder, loss weights, and throw-away heads on the mean feature of the stem.

    A transformer on a fresh stem sits at chance for long; a loss on the stem itself starts it.
    Pictures go in and the loss comes out, so that a wrapper for many processes sees all of it.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.encoder = assemble(recipe)
        self.weights = build_weights(recipe.loss.weighting, recipe.tasks)
        self._options: LossOptions = recipe.loss
        width = BACKBONES[recipe.backbone].width
        tasks = recipe.tasks if recipe.loss.stem else ()
        self.stem_heads = nn.ModuleDict(
            {task: nn.Linear(width, len(TASKS[task].labels)) for task in tasks}
        )
        self._stem_feature: torch.Tensor | None = None
        self.last_losses: dict[str, torch.Tensor] = {}
        if recipe.loss.stem:
            self.encoder.tower.get_submodule("patch_embed").register_forward_hook(self._keep)

    def _keep(self, _module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        grid_axes = tuple(range(1, output.ndim - 1))
        self._stem_feature = output.mean(dim=grid_axes)

    def forward(
        self,
        pixels: torch.Tensor,
        targets: Mapping[str, torch.Tensor],
        counts: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """The loss of a batch, a scalar.

        Args:
            pixels: (n, 3, s, s), normalised RGB.
            targets: (n, classes) by task; rows sum to 1, or to 0 where the label is missing.
            counts: by task, what its loss divides by; the labels of this batch if not said.
        """
        logits = self.encoder(pixels, {task: rows.sum(1) > 0 for task, rows in targets.items()})
        counts, smoothing = counts or labelled_counts(targets), self._options.label_smoothing
        losses = task_losses(logits, targets, smoothing, counts)
        self.last_losses = {task: loss.detach() for task, loss in losses.items()}
        if not losses:
            raise ValueError("no face of this batch has a label of any task: check data.shares")
        loss = self.weights(losses)
        penalty = self.encoder.penalty()
        if penalty is not None:
            loss = loss + penalty
        if self.stem_heads:
            stem = {task: head(self._stem_feature) for task, head in self.stem_heads.items()}
            stem_losses = task_losses(stem, targets, smoothing, counts)
            loss = loss + self._options.stem * torch.stack(list(stem_losses.values())).sum()
        return loss
