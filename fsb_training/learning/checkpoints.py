"""The run on disk: its checkpoint, and the recipe that its folder belongs to."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from fsb_perception.adapters import stored_adapter
from fsb_perception.errors import FsbError, error_line
from fsb_perception.files import write_whole
from fsb_perception.sealed import write_sealed
from fsb_training.data.batches import total_steps
from fsb_training.errors import TrainingError
from fsb_training.learning.checkpoint_files import CHECKPOINT, read_checkpoint
from fsb_training.learning.distributed import ALONE, World
from fsb_training.learning.schedules import Looks
from fsb_training.learning.state import State, start
from fsb_training.recipe import Recipe

_log = logging.getLogger(__name__)
_RECIPE = "recipe.json"
_WORDS = {"name", "licence", "intended_use", "limits"}


def resume(
    recipe: Recipe, run: Path, device: torch.device | None = None, world: World = ALONE
) -> State:
    """Return the run at its last checkpoint, or at step zero without one.

    Raises:
        TrainingError: the checkpoint is damaged.
        WeightsError, OptionError: as of `start`.
    """
    state = start(recipe, device, world)
    path = run / CHECKPOINT
    if path.is_file():
        saved = read_checkpoint(path)
        state.learner.load_state_dict(saved["learner"])
        state.average.module.load_state_dict(saved["average"])
        _load_optimiser(state, saved["optimiser"], path)
        state.fabric.strategy.precision.load_state_dict(saved.get("precision", {}))
        state.step, state.best = saved["step"], saved.get("best", {})
        state.looks = Looks(**saved.get("looks", {}))
        _log.info("resumes at step %d of %d", state.step, total_steps(recipe))
    return state


def _load_optimiser(state: State, saved: dict[str, Any], path: Path) -> None:
    try:
        state.optimiser.load_state_dict(saved)
    except ValueError as error:
        raise TrainingError(
            f"{path} groups its parameters in another way ({error_line(error)}): an earlier "
            "release began it, so end it with that one, or begin again in another --run"
        ) from error


def save(state: State, run: Path) -> None:
    """Write the checkpoint; a kill or a full disk leaves the earlier one whole.

    All processes must call this, and rank 0 writes.

    Raises:
        FileError: it cannot be written.
    """
    state.settle()
    if not state.world.leads:
        return
    saved = {
        "learner": state.learner.state_dict(),
        "average": state.average.module.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "precision": state.fabric.strategy.precision.state_dict(),  # the scale of fp16's loss
        "step": state.step,
        "looks": asdict(state.looks),
        "best": state.best,
    }
    write_sealed(run / CHECKPOINT, lambda file: torch.save(saved, file))


def claim(recipe: Recipe, run: Path, world: World = ALONE) -> None:
    """Make ``run`` the folder of ``recipe``.

    Raises:
        TrainingError: the folder holds the run of another recipe.
        FileError: it cannot be written.
    """
    require_own(recipe, run)
    world.wait()  # every process has read before rank 0 writes
    if world.leads:
        run.mkdir(parents=True, exist_ok=True)
        write_whole(run / _RECIPE, recipe.model_dump_json(indent=2))


def require_own(recipe: Recipe, run: Path) -> None:
    """Refuse a folder that holds the run of another recipe.

    Raises:
        TrainingError: names the folder, the recipe in it, and the ways out.
    """
    path = run / _RECIPE
    if path.is_file() and (run / CHECKPOINT).is_file() and not _is_of(recipe, path):
        raise TrainingError(
            f"{run} was begun with another recipe (see {path}): give the settings that it was "
            "begun with, another --run, or remove that folder to begin again"
        )


def _is_of(recipe: Recipe, path: Path) -> bool:
    """Return whether a run's file holds ``recipe``, apart from words without effect on training.

    Options that are newer than the file have their defaults, or the adapter's value from before.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["adapter"] = stored_adapter(values.get("adapter", {"method": "full"}))
        begun = Recipe.model_validate(values)
    except (ValueError, TypeError, FsbError):  # pydantic's and UnicodeError are ValueErrors
        return False
    one, other = (item.model_dump_json(exclude=_WORDS) for item in (begun, recipe))
    return one == other
