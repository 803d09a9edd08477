"""The state of a run: learner, moving average, optimiser and history at one step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from fsb_perception.model import MultitaskEncoder
from fsb_perception.towers.parts import inner_tower
from fsb_training.learning.averaging import moving_average, named_moving
from fsb_training.learning.batch_norms import average_buffers
from fsb_training.learning.distributed import ALONE, World, wrapped
from fsb_training.learning.fabric import build_fabric
from fsb_training.learning.groups import parameter_groups
from fsb_training.learning.objectives import build_learner
from fsb_training.learning.schedules import Looks
from fsb_training.recipe import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from timm.utils.model_ema import ModelEmaV3


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
        parameter_groups(
            learner.named_parameters(), options, recipe.adapter, recipe.loss.weights_rate
        ),
        fused=options.precision != "fp16",  # fused, it unscales the loss too late to clip
    )
    model = learner if world.fabric else fabric.setup_module(learner)
    return State(learner, average, fabric.setup_optimizers(optimiser), fabric, model)
