"""The training loop: resumable at any step, schedules a function of steps and validations.

begin:  the run's state, from its folder or from the start
fit:    for each step: train_step -> progress -> at intervals validation and checkpoint
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from fsb_perception.inference.hardware import choose_device
from fsb_perception.model import MultitaskEncoder
from fsb_perception.progress import SILENT, Progress
from fsb_training.data.batches import Activations, loader, size_at, total_steps
from fsb_training.data.faces import Source
from fsb_training.data.sources import require_labels
from fsb_training.errors import TrainingError
from fsb_training.learning.checkpoints import CHECKPOINT, claim, require_own, resume, save
from fsb_training.learning.distributed import ALONE, World
from fsb_training.learning.objectives import build_batches
from fsb_training.learning.progress import RunProgress, run_progress
from fsb_training.learning.schedules import learning_rate
from fsb_training.learning.state import State, start
from fsb_training.learning.step import train_step
from fsb_training.learning.validation import dev_logits, score, validate
from fsb_training.recipe import Recipe

__all__ = [
    "CHECKPOINT", "State", "TrainingError", "begin", "dev_logits", "fit", "learning_rate",
    "require_own", "resume", "save", "start", "train_step",
]  # fmt: skip

_log = logging.getLogger(__name__)


def fit(
    recipe: Recipe,
    run: Path,
    sources: Sequence[Source],
    dev: Sequence[Source],
    device: str = "auto",
    world: World = ALONE,
    state: State | None = None,
    progress: Progress = SILENT,
) -> MultitaskEncoder:
    """Train from the step that ``run`` has reached to the end.

    Several processes all call this, and each learns from its part of every batch; rank 0 alone
    writes and validates.

    Args:
        recipe: model, data and optimiser.
        run: folder of the checkpoint, of ``log.jsonl`` and of TensorBoard's files; made if missing.
        sources: what is learned from.
        dev: faces that the averaged weights are validated on at intervals.
        device: "auto", "cuda" or "cpu"; no part of the recipe, so a run may change over.
        world: the processes that learn together.
        state: of `begin`, where it was called before.
        progress: shows steps, and views that are computed once.

    Returns:
        The encoder with averaged weights: the last, or with ``optimiser.patience`` the best.

    Raises:
        TrainingError: a loss or gradient is not finite, or the processes differ.
        DatasetError: no face has a label of a task.
        FileError: the run's folder cannot be written.
    """
    state = state or begin(recipe, run, device, world)
    require_labels(recipe.tasks, [source.faces for source in sources])
    _require_same(state, sources, world, run)
    activations = _skip_frozen(state, recipe, sources, world, progress)
    state.join(world)
    dataset = build_batches(sources, recipe, world.part, activations)
    state.learner.set_priors(dataset.class_shares())
    batches = loader(dataset, state.step)
    with run_progress(state, recipe, run, progress) as reports:
        for group in () if _enough(state, recipe) else reports.timed(batches):
            loss = train_step(state, group, recipe)
            reports.step(loss)
            _at_intervals(state, recipe, run, dev, loss, reports)
            if _enough(state, recipe):
                break
    save(state, run)
    return state.shipped()


def begin(recipe: Recipe, run: Path, device: str = "auto", world: World = ALONE) -> State:
    """Return the state of ``run``; refuse what is wrong before any data are opened.

    Arguments as for `fit`.

    Raises:
        TrainingError: the folder holds another recipe's run.
        WeightsError: weights that the recipe names are absent or do not fit.
        OptionError: the tower or this machine cannot do what the recipe asks.
    """
    chosen = choose_device(device)
    claim(recipe, run, world)
    return resume(recipe, run, chosen, world)


def _require_same(state: State, sources: Sequence[Source], world: World, run: Path) -> None:
    if not world.agree(state.step, *map(len, sources)):
        raise TrainingError(
            f"{run} or the data are not the same for all {world.size} processes: "
            "put both where every one of them can read them"
        )


def _skip_frozen(
    state: State, recipe: Recipe, sources: Sequence[Source], world: World, progress: Progress
) -> Activations | None:
    """Compute the frozen prefix once and return its outputs; log why where that is impossible."""
    from fsb_training.learning.feature_cache import cached
    from fsb_training.learning.prefix import frozen_prefix

    prefix = frozen_prefix(state.learner.encoder, recipe.adapter)
    if prefix is None:
        _log.info("nothing is computed once: everything learns, from the first layer on")
        return None
    if not recipe.data.views:
        _log.info(
            "nothing is computed once, though %s does not learn: data.views is 0, so every visit "
            "sees another picture", prefix.name,
        )  # fmt: skip
        return None
    with world.leader_first():
        activations = cached(prefix, recipe, sources, progress if world.leads else SILENT)
    state.learner.after = prefix.part
    return activations


def _enough(state: State, recipe: Recipe) -> bool:
    return state.looks.enough(recipe.optimiser)


def _at_intervals(
    state: State,
    recipe: Recipe,
    run: Path,
    dev: Sequence[Source],
    loss: float,
    reports: RunProgress,
) -> None:
    images, last = recipe.optimiser.step_images, state.step == total_steps(recipe)
    # Validation comes first: a run that is killed between the two has forgotten both.
    if last or state.step % max(recipe.evaluate_images // images, 1) == 0:
        _validate(state, recipe, dev, reports)
    if state.step % max(recipe.checkpoint_images // images, 1) == 0:
        reports.saving(loss)
        save(state, run)


def _validate(state: State, recipe: Recipe, dev: Sequence[Source], reports: RunProgress) -> None:
    state.settle()
    reached = 0.0
    if state.world.leads:
        encoder = state.average.module.encoder
        metrics = validate(encoder, recipe, dev, size_at(state.step - 1, recipe))
        reached = score(metrics)
        reports.validated(metrics, reached)
    best = state.looks.add(state.world.from_leader(reached), recipe.optimiser)
    if best and recipe.optimiser.patience:
        state.keep()
