"""The training loop: resumable at any step, its schedules a function of the step alone."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from fsb_perception.backbones import BACKBONES
from fsb_perception.hardware import choose_device
from fsb_perception.model import MultitaskEncoder
from fsb_perception.preprocessing import Preprocessing, normalise
from fsb_perception.types import Floats, Image
from fsb_training import evaluate
from fsb_training.assembly import with_frozen_heads
from fsb_training.batches import Batch, Source, StepBatches, loader, size_at, total_steps
from fsb_training.checkpoints import CHECKPOINT, State, TrainingError, claim, resume, save, start
from fsb_training.distributed import ALONE, World
from fsb_training.recipe import Recipe
from fsb_training.recipe_options import OptimiserOptions

__all__ = [
    "CHECKPOINT", "State", "TrainingError", "begin", "dev_logits", "fit",
    "learning_rate", "resume", "save", "start", "train_step",
]  # fmt: skip


def fit(
    recipe: Recipe,
    run: Path,
    sources: Sequence[Source],
    dev: Sequence[Source],
    device: str = "auto",
    world: World = ALONE,
    state: State | None = None,
) -> MultitaskEncoder:
    """Train from where ``run`` stands to the end.

    Several processes all call this, and each learns from its part of every batch; rank 0 alone
    writes and judges.

    Args:
        recipe: what to train, and how.
        run: folder of the checkpoint and of ``log.jsonl``; made if missing.
        sources: what is learned from.
        device: "auto", "cuda" or "cpu"; no part of the recipe, so a run may change over.
        dev: what the averaged weights are looked at with, now and then.
        world: the processes that learn together.
        state: of `begin`, where it was called before.

    Returns:
        The encoder with averaged weights.
    """
    state = state or begin(recipe, run, device, world)
    if not world.agree(state.step, *map(len, sources)):
        raise TrainingError(
            f"{run} or the data are not the same for all {world.size} processes: "
            "put both where every one of them can read them"
        )
    state.join(world)
    batches = loader(StepBatches(sources, recipe, world.part), state.step)
    with _progress(state, recipe) as bar:
        for batch in batches:
            loss = train_step(state, batch, recipe)
            bar.update()
            if state.step % 20 == 0:
                bar.set_postfix(loss=f"{loss:.3f}", px=size_at(state.step - 1, recipe))
            _at_intervals(state, recipe, run, dev, loss)
    save(state, run)
    return state.average.module.encoder


def begin(recipe: Recipe, run: Path, device: str = "auto", world: World = ALONE) -> State:
    """Where ``run`` stands; refuses what no data are needed to see. Arguments as for `fit`.

    Raises:
        TrainingError: the folder holds another recipe's run.
        WeightsError: weights that the recipe names are not there, or do not fit.
        OptionError: the tower, or this machine, cannot do what is asked.
    """
    chosen = choose_device(device)
    claim(recipe, run, world)
    return resume(recipe, run, chosen, world)


def _progress(state: State, recipe: Recipe) -> tqdm:
    steps, silent = total_steps(recipe), not state.world.leads
    return tqdm(total=steps, initial=state.step, unit="step", smoothing=0.05, disable=silent)


def train_step(state: State, batch: Batch, recipe: Recipe) -> float:
    """One step of the optimiser; returns the loss, of all processes where there are several."""
    # Dropout: the same after a resume, but not the same for the faces of another process.
    torch.manual_seed(recipe.seed * 1_000_003 + state.step + (state.world.rank << 40))
    options, fabric = recipe.optimiser, state.fabric
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(state.step, options) * group["factor"]
    row = BACKBONES[recipe.backbone]
    device = state.device
    pixels = normalise(batch.pixels.to(device), row.mean, row.std)
    targets = {task: rows.to(device) for task, rows in batch.targets.items()}
    state.learner.train()
    loss = state.model(pixels.contiguous(memory_format=torch.channels_last), targets)
    value = float(state.world.mean(loss.detach()))
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss is {value} at step {state.step}; the last checkpoint is sound: "
            "start again with a lower optimiser.learning_rate"
        )
    state.optimiser.zero_grad(set_to_none=True)
    fabric.backward(loss)
    fabric.clip_gradients(
        state.model, state.optimiser, max_norm=options.clip_norm, error_if_nonfinite=False
    )
    state.optimiser.step()
    state.step += 1
    state.average.update(state.learner, step=state.step)
    return value


def learning_rate(step: int, options: OptimiserOptions) -> float:
    """Linear warm-up, then half a cosine to zero."""
    seen = (step + 1) * options.batch_size
    if seen < options.warmup_images:
        return options.learning_rate * seen / options.warmup_images
    rest = max(options.images - options.warmup_images, 1)
    share = min((seen - options.warmup_images) / rest, 1.0)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def _at_intervals(
    state: State, recipe: Recipe, run: Path, dev: Sequence[Source], loss: float
) -> None:
    batch, last = recipe.optimiser.batch_size, state.step == total_steps(recipe)
    if state.step % max(recipe.checkpoint_images // batch, 1) == 0:
        save(state, run)
        if state.world.leads:
            _append(run, {"step": state.step, "loss": loss, "time": time.time()})
    if last or state.step % max(recipe.evaluate_images // batch, 1) == 0:
        state.settle()
        if state.world.leads:
            _judge(state, recipe, run, dev)
        state.world.wait()


def _judge(state: State, recipe: Recipe, run: Path, dev: Sequence[Source]) -> None:
    encoder = with_frozen_heads(state.average.module.encoder)
    logits = dev_logits(encoder, recipe, dev, size_at(state.step - 1, recipe))
    metrics = evaluate.judge({n: _softmax(tasks) for n, tasks in logits.items()}, dev)
    _append(run, {"step": state.step, "metrics": metrics})
    tqdm.write(json.dumps({"step": state.step} | _accuracies(metrics)))


def _accuracies(metrics: evaluate.Metrics) -> dict[str, Any]:
    return {
        name: {t: round(m["accuracy"], 3) for t, m in tasks.items()}
        for name, tasks in metrics.items()
    }


def _append(run: Path, record: dict[str, Any]) -> None:
    with (run / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def dev_logits(
    encoder: MultitaskEncoder, recipe: Recipe, sources: Sequence[Source], size: int
) -> dict[str, dict[str, Floats]]:
    """Logits (n, classes) by data set and task at a picture size."""
    row = BACKBONES[recipe.backbone]
    preprocessing = Preprocessing(size=size, alignment=recipe.alignment, mean=row.mean, std=row.std)
    encoder.eval()
    device = next(encoder.parameters()).device

    def encode(aligned: Sequence[Image]) -> dict[str, Floats]:
        with torch.inference_mode():
            logits = encoder(preprocessing.pixels(aligned).to(device))
        return {task: rows.float().cpu().numpy() for task, rows in logits.items()}

    return {s.faces.name: evaluate.run(s, preprocessing.aligner, encode) for s in sources}


def _softmax(tasks: dict[str, Floats]) -> dict[str, Floats]:
    from scipy.special import softmax

    return {task: softmax(rows, axis=1).astype(np.float32) for task, rows in tasks.items()}
