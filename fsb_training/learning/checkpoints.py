"""Where a run stands: at its start, at any step, and on disk."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from fsb_perception.model import MultitaskEncoder
from fsb_training.data.batches import total_steps
from fsb_training.learning.averaging import moving_average, named_moving
from fsb_training.learning.distributed import ALONE, World, average_buffers, wrapped
from fsb_training.learning.fabric import build_fabric
from fsb_training.learning.groups import parameter_groups
from fsb_training.learning.objectives import build_learner
from fsb_training.learning.prefix import inner_tower
from fsb_training.learning.schedules import Looks
from fsb_training.recipe import Recipe
from fsb_training.writing import TrainingError, write_whole

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from timm.utils.model_ema import ModelEmaV3

_log = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
_RECIPE = "recipe.json"
_WORDS = {"name", "licence", "intended_use", "limits"}


@dataclass
class State:
    """All that a run is at one step.

    Attributes:
        learner: what learns: a module of `fsb_training.learning.objectives`, with an ``encoder``.
        average: a moving average of it; its encoder is what ships.
        optimiser: of the learner's parameters, an AdamW as Fabric steps it.
        fabric: where and in which numbers they are computed with.
        model: takes batches: the learner as Fabric runs it, joined to those of other processes.
        step: how many are done.
        rate: that the last step learned at.
        looks: what the looks at the validation split have come to.
        best: of the averaged weights at the best look what learns or moves, with early stopping.
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
        """Where the weights are."""
        return next(self.learner.parameters()).device

    def join(self, world: World) -> None:
        """Learn together with other processes from here on; they must all be at this step."""
        if world.size > 1:
            self.world, self.model = world, wrapped(self.learner, self.fabric)

    def keep(self) -> None:
        """Remember the averaged weights as they are now as the best."""
        self.best = {
            name: tensor.detach().cpu().clone()
            for name, tensor in named_moving(self.average.module)
        }

    def shipped(self) -> MultitaskEncoder:
        """The encoder that ships: with the best averaged weights if they were kept, or the last."""
        average = self.average.module
        average.load_state_dict(average.state_dict() | self.best)
        return average.encoder

    def settle(self) -> None:
        """Bring together what each process has of its own, which all must do at the same step."""
        average_buffers(self.learner)
        average_buffers(self.average.module)


def start(recipe: Recipe, device: torch.device | None = None, world: World = ALONE) -> State:
    """A run at step zero, on the CPU if no device is said."""
    options = recipe.optimiser
    fabric = world.fabric or build_fabric(device or torch.device("cpu"), options.precision)
    torch.manual_seed(recipe.seed)
    learner: Any = build_learner(recipe).train()  # for good: what judges is the average
    learner.to(fabric.device)
    learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if options.gradient_checkpointing:
        inner_tower(learner.encoder.tower).set_grad_checkpointing()
    average = moving_average(learner, options.ema_decay)
    optimiser = torch.optim.AdamW(
        parameter_groups(learner.named_parameters(), options),
        fused=options.precision != "fp16",  # fused, it takes the loss's scale off too late to clip
    )
    model = learner if world.fabric else fabric.setup_module(learner)
    return State(learner, average, fabric.setup_optimizers(optimiser), fabric, model)


def resume(
    recipe: Recipe, run: Path, device: torch.device | None = None, world: World = ALONE
) -> State:
    """The run as its last checkpoint has it, or at step zero."""
    state = start(recipe, device, world)
    path = run / CHECKPOINT
    if path.is_file():
        saved = torch.load(path, map_location="cpu", weights_only=True)
        state.learner.load_state_dict(saved["learner"])
        state.average.module.load_state_dict(saved["average"])
        state.optimiser.load_state_dict(saved["optimiser"])
        state.fabric.strategy.precision.load_state_dict(saved.get("precision", {}))
        state.step, state.best = saved["step"], saved.get("best", {})
        state.looks = Looks(**saved.get("looks", {}))
        _log.info("going on from step %d of %d", state.step, total_steps(recipe))
    return state


def save(state: State, run: Path) -> None:
    """Write the checkpoint: to another name first, so that a kill leaves the old one whole.

    Of several processes all must call this, and one writes.
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
    write_whole(run / CHECKPOINT, lambda file: torch.save(saved, file), _bytes(saved))


def _bytes(saved: object) -> int:
    """Of all tensors in nested dictionaries."""
    if isinstance(saved, torch.Tensor):
        return saved.nbytes
    return sum(map(_bytes, saved.values())) if isinstance(saved, dict) else 0


def claim(recipe: Recipe, run: Path, world: World = ALONE) -> None:
    """Make the folder ``run`` that of ``recipe``, unless it holds the run of another."""
    require_own(recipe, run)
    world.wait()  # nobody may read what another writes
    if world.leads:
        run.mkdir(parents=True, exist_ok=True)
        text = recipe.model_dump_json(indent=2).encode()
        write_whole(run / _RECIPE, lambda file: file.write(text), len(text))


def require_own(recipe: Recipe, run: Path) -> None:
    """Refuse a folder that holds the run of another recipe.

    Raises:
        TrainingError: names the folder, the file that says so and the ways out.
    """
    path = run / _RECIPE
    if path.is_file() and (run / CHECKPOINT).is_file() and not _is_of(recipe, path):
        raise TrainingError(
            f"{run} was begun with another recipe (see {path}): give the settings that it was "
            "begun with, another --run, or remove that folder to begin again"
        )


def _is_of(recipe: Recipe, path: Path) -> bool:
    """Whether a run's file says ``recipe``, but for words that nothing is learned by.

    Options that are newer than the file have their defaults.
    """
    try:
        begun = Recipe.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError:
        return False
    one, other = (each.model_dump_json(exclude=_WORDS) for each in (begun, recipe))
    return one == other
