"""The module that a run trains: the encoder in its training form, losses and loss weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.func import functional_call

from fsb_perception.tasks import TASKS
from fsb_perception.towers.backbones import BACKBONES
from fsb_training.learning.assembly import assemble
from fsb_training.learning.stem import StemFeature
from fsb_training.losses.by_task import DEFAULT, build_loss, set_priors
from fsb_training.losses.masked import labelled_counts, task_losses
from fsb_training.losses.weighting import build_weights
from fsb_training.recipe import Recipe
from fsb_training.recipe_options import LossOptions

Targets = Mapping[str, torch.Tensor]


class Learner(nn.Module):
    """Encoder, loss weights, and throw-away heads on the mean feature of the stem.

    A transformer on a fresh stem stays at chance level for long; a loss on the stem itself helps
    (see `StemFeature`). The module maps pictures to the loss, so that a wrapper for several
    processes sees every parameter.

    Args:
        recipe: of the run.

    Attributes:
        after: the part of the tower whose activations come in the place of pixels, as a name of
            `fsb_perception.towers.parts`; "" for pixels.

    Raises:
        WeightsError, OptionError: as of `assemble`.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.encoder = assemble(recipe)
        self.after = ""
        self._options: LossOptions = recipe.loss
        self.losses = nn.ModuleDict(
            {
                task: build_loss(recipe.loss.by_task.get(task, DEFAULT), recipe.loss, TASKS[task])
                for task in recipe.tasks
            }
        )
        self.weights = build_weights(recipe.loss, recipe.tasks)
        self._random: list[torch.Tensor] = []
        width = BACKBONES[recipe.backbone].width
        tasks = recipe.tasks if recipe.loss.stem else ()
        self.stem_heads = nn.ModuleDict(
            {task: nn.Linear(width, len(TASKS[task].labels)) for task in tasks}
        )
        self._stem = StemFeature(self.encoder.tower) if recipe.loss.stem else None
        self.last_losses: dict[str, torch.Tensor] = {}

    def set_priors(self, priors: Mapping[str, NDArray[np.floating]]) -> None:
        """Take the share (classes,) of each class by task, which some losses need.

        Call it before the first step, also of a resumed run.
        """
        set_priors(self.losses, priors, next(self.parameters()).device)

    def counts(self, batches: Sequence[Targets]) -> Targets:
        """Return the label counts that the losses of one step's batches divide by, by task.

        Each batch's losses divide by the labels of all batches, as those of several processes do.
        The result is empty where task weights follow each batch's own losses: then each batch uses
        its own counts.
        """
        if self.weights.follows:
            return {}
        joint = {task: torch.cat([own[task] for own in batches]) for task in batches[0]}
        return {task: count / len(batches) for task, count in labelled_counts(joint).items()}

    def forward(
        self,
        pixels: torch.Tensor,
        targets: Mapping[str, torch.Tensor],
        counts: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return the loss of a batch, a scalar.

        Args:
            pixels: (n, 3, s, s), normalised RGB; or the activations that ``after`` names.
            targets: (n, classes) by task; rows sum to 1, or to 0 where the label is missing.
            counts: divisor of each task's loss; by default this batch's labels.
        """
        if self.weights.looks_back:
            self._random = _random_states(pixels.device)
        logits = self.encoder(pixels, _labelled(targets), self.after)
        counts = counts or labelled_counts(targets)
        losses = task_losses(logits, targets, counts, self.losses)
        self.last_losses = {task: loss.detach() for task, loss in losses.items()}
        if not losses:  # none of the drawn faces has a label
            return pixels.new_zeros(())
        loss = self.weights(losses)
        penalty = self.encoder.penalty()
        if penalty is not None:
            loss = loss + penalty
        if self._stem:
            stem_loss = self._stem_loss(self._stem.take(), targets, counts)
            loss = loss + self._options.stem * stem_loss
        return loss

    def _stem_loss(self, feature: torch.Tensor, targets: Targets, counts: Targets) -> torch.Tensor:
        logits = {task: head(feature) for task, head in self.stem_heads.items()}
        plain = dict.fromkeys(targets, build_loss(DEFAULT, self._options))
        return torch.stack(list(task_losses(logits, targets, counts, plain).values())).sum()

    @torch.no_grad()
    def after_step(self, pixels: torch.Tensor, targets: Targets) -> None:
        """Give the task weights the losses of the last batch after the optimiser's step.

        Only weights that look back need it: a forward without backward. It hides the same units by
        dropout as the forward before the step, and batch statistics do not count it. Every process
        must call it, under the same autocast as the forward.

        Args:
            pixels: of the last forward.
            targets: of the last forward.
        """
        if not self.weights.looks_back:
            return
        buffers = {name: buffer.clone() for name, buffer in self.encoder.named_buffers()}
        with _drawing_from(self._random, pixels.device):
            inputs = (pixels, _labelled(targets), self.after)
            logits = functional_call(self.encoder, buffers, inputs)
        losses = task_losses(logits, targets, labelled_counts(targets), self.losses)
        if losses:
            self.weights.after_step(losses)


def _labelled(targets: Targets) -> dict[str, torch.Tensor]:
    return {task: rows.sum(1) > 0 for task, rows in targets.items()}


def _random_states(device: torch.device) -> list[torch.Tensor]:
    """Return the states of the random generators that a forward on ``device`` uses."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


@contextmanager
def _drawing_from(states: list[torch.Tensor], device: torch.device) -> Iterator[None]:
    """Set the random generators to ``states`` within the block, and restore them afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.set_rng_state(states[0])
        if device.type == "cuda":
            torch.cuda.set_rng_state(states[1], device)
        yield
