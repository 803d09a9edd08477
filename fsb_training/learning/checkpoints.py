"""The state of a run: at its start, at any step, and on disk."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from fsb_perception.errors import error_line
from fsb_perception.files import write_whole
from fsb_perception.model import MultitaskEncoder
from fsb_perception.towers.parts import inner_tower
from fsb_training.data.batches import total_steps
from fsb_training.errors import TrainingError
from fsb_training.learning.averaging import moving_average, named_moving
from fsb_training.learning.distributed import ALONE, World, average_buffers, wrapped
from fsb_training.learning.fabric import build_fabric
from fsb_training.learning.groups import parameter_groups
from fsb_training.learning.objectives import build_learner
from fsb_training.learning.schedules import Looks
from fsb_training.recipe import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from timm.utils.model_ema import ModelEmaV3

_log = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
_RECIPE = "recipe.json"
_WORDS = {"name", "licence", "intended_use", "limits"}


@dataclass
class State:
    """Everything that a run is at one step.

    Attributes:
        learner: a module of `fsb_training.learning.objectives`, with an ``encoder``.
        average: moving average of the learner; its encoder is the one that ships.
        optimiser: of the learner's parameters, an AdamW as Fabric steps it.
        fabric: device and number format of the computation.
        model: takes batches: the learner as Fabric runs it, joined to those of other processes.
        step: number of finished steps.
        rate: learning rate of the last step.
        looks: history of the validations.
        best: averaged weights and buffers at the best validation; kept with early stopping alone.
        world: the processes that are at this step together.
    """

    learner: Any
    average: ModelEmaV3
    optimiser: Any
    fabric: Fabric
    model: Any
    step: int = 0
    rate: float = 0.0
    looks: Looks = field(default_factory=Looks)
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    world: World = ALONE

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.learner.parameters()).device

    def join(self, world: World) -> None:
        """Learn together with other processes from here on; all must be at this step."""
        if world.size > 1:
            self.world, self.model = world, wrapped(self.learner, self.fabric)

    def keep(self) -> None:
        """Remember the present averaged weights as the best."""
        self.best = {
            name: tensor.detach().cpu().clone()
            for name, tensor in named_moving(self.average.module)
        }

    def shipped(self) -> MultitaskEncoder:
        """Return the encoder that ships: with the best averaged weights if kept, else the last."""
        average = self.average.module
        average.load_state_dict(average.state_dict() | self.best)
        return average.encoder

    def settle(self) -> None:
        """Average the buffers over the processes; all must call this at the same step."""
        average_buffers(self.learner)
        average_buffers(self.average.module)


def start(recipe: Recipe, device: torch.device | None = None, world: World = ALONE) -> State:
    """Return a run at step zero, on the CPU by default.

    Raises:
        WeightsError: weights that the recipe names are absent or do not fit.
        OptionError: the tower or the device cannot do what the recipe asks.
    """
    options = recipe.optimiser
    fabric = world.fabric or build_fabric(device or torch.device("cpu"), options.precision)
    torch.manual_seed(recipe.seed)
    learner: Any = build_learner(recipe).train()  # it never leaves training; the average is judged
    learner.to(fabric.device)
    learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if options.gradient_checkpointing:
        inner_tower(learner.encoder.tower).set_grad_checkpointing()
    average = moving_average(learner, options.ema_decay)
    optimiser = torch.optim.AdamW(
        parameter_groups(learner.named_parameters(), options, recipe.adapter),
        fused=options.precision != "fp16",  # fused, it unscales the loss too late to clip
    )
    model = learner if world.fabric else fabric.setup_module(learner)
    return State(learner, average, fabric.setup_optimizers(optimiser), fabric, model)


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
        saved = _read(path)
        state.learner.load_state_dict(saved["learner"])
        state.average.module.load_state_dict(saved["average"])
        state.optimiser.load_state_dict(saved["optimiser"])
        state.fabric.strategy.precision.load_state_dict(saved.get("precision", {}))
        state.step, state.best = saved["step"], saved.get("best", {})
        state.looks = Looks(**saved.get("looks", {}))
        _log.info("resumes at step %d of %d", state.step, total_steps(recipe))
    return state


def _read(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, UnpicklingError) as error:
        reason = error_line(error).splitlines()[0]
        raise TrainingError(
            f"{path} is damaged ({reason}): put back a copy, or remove it to begin again"
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
    write_whole(run / CHECKPOINT, lambda file: torch.save(saved, file))


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

    Options that are newer than the file have their defaults.
    """
    try:
        begun = Recipe.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeError):
        return False
    one, other = (item.model_dump_json(exclude=_WORDS) for item in (begun, recipe))
    return one == other
