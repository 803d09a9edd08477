"""One step of the optimiser: losses of all batches, gradient, clipping, step, averages."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from fsb_perception.towers.backbones import BACKBONES
from fsb_training.data.batches import Batch
from fsb_training.errors import TrainingError
from fsb_training.learning.groups import rate_of
from fsb_training.learning.learner import Targets
from fsb_training.learning.pixels import normalise
from fsb_training.learning.schedules import learning_rate
from fsb_training.learning.state import State
from fsb_training.recipe import Recipe


def train_step(state: State, batches: Sequence[Batch], recipe: Recipe) -> float:
    """Take one step of the optimiser; return the loss, averaged over the processes.

    Args:
        state: moves on by a step.
        batches: ``optimiser.accumulate`` of them; the gradient is that of all in one.
        recipe: of the run.

    Raises:
        TrainingError: the loss or the gradient's norm is not finite.
    """
    # Dropout: the same after a resume, but not the same for the faces of another process.
    torch.manual_seed(recipe.seed * 1_000_003 + state.step + (state.world.rank << 40))
    state.rate = learning_rate(state.step, recipe.optimiser, state.looks.drops)
    for group in state.optimiser.param_groups:
        group["lr"] = rate_of(group, state.rate)
    state.optimiser.zero_grad(set_to_none=True)
    inputs = [_on_device(batch, state, recipe) for batch in batches]
    loss = float(state.world.mean(_backward(state, inputs)))
    _require_finite("loss", loss, state)
    _clip(state, recipe)
    state.optimiser.step()
    with state.fabric.autocast():
        state.learner.after_step(*inputs[-1])
    state.step += 1
    state.average.update(state.learner, step=state.step)
    return loss


def _clip(state: State, recipe: Recipe) -> None:
    options = recipe.optimiser
    norm = state.fabric.clip_gradients(
        state.model, state.optimiser, max_norm=options.clip_norm, error_if_nonfinite=False
    )
    # In fp16 an infinite norm is no error: the step is left out, and the loss's scale lowered.
    if norm is not None and options.precision != "fp16":
        _require_finite("gradient's norm", float(norm), state)


def _require_finite(name: str, value: float, state: State) -> None:
    if not math.isfinite(value):
        raise TrainingError(
            f"the {name} is {value} at step {state.step}; the last checkpoint is sound: "
            "start again with a lower optimiser.learning_rate"
        )


def _on_device(batch: Batch, state: State, recipe: Recipe) -> tuple[torch.Tensor, Targets]:
    """Return a batch's normalised pixels or activations, and its targets, as the learner reads."""
    targets = {name: rows.to(state.device) for name, rows in batch.targets.items()}
    inputs = batch.pixels.to(state.device)
    if inputs.dtype != torch.uint8:
        return inputs.float(), targets
    row = BACKBONES[recipe.backbone]
    pixels = normalise(inputs, row.mean, row.std)
    return pixels.contiguous(memory_format=torch.channels_last), targets


def _backward(state: State, batches: Sequence[tuple[torch.Tensor, Targets]]) -> torch.Tensor:
    """Leave the gradient of all batches in the weights; return their loss, without a graph."""
    fabric = state.fabric
    counts = state.learner.counts([targets for _, targets in batches])
    total = torch.zeros((), device=state.device)
    for index, (inputs, targets) in enumerate(batches):
        with fabric.no_backward_sync(state.model, enabled=index + 1 < len(batches)):
            loss = state.model(inputs, targets, counts) / len(batches)
            if loss.requires_grad:  # not where none of the faces has a label
                fabric.backward(loss)
        total += loss.detach()
    return total
