"""The objectives of training: the labels of tasks, or which captions are true of a picture.

An objective is a learner, which maps a batch to a loss, and the batches that suit it. Everything
else of a run (schedules, averages, checkpoints, processes) belongs to the trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from fsb_perception.registry import Registry

if TYPE_CHECKING:
    from fsb_training.data.batches import Activations, StepBatches
    from fsb_training.data.faces import Source
    from fsb_training.recipe import Recipe


class Objective(NamedTuple):
    """The classes of an objective."""

    learner: Callable[[Recipe], nn.Module]
    batches: Callable[[Sequence[Source], Recipe, slice, Activations | None], StepBatches]


def _tasks() -> Objective:
    from fsb_training.data.batches import StepBatches
    from fsb_training.learning.learner import Learner

    return Objective(Learner, StepBatches)


def _captions() -> Objective:
    from fsb_training.learning.captions.learner import CaptionBatches, CaptionLearner

    return Objective(CaptionLearner, CaptionBatches)


OBJECTIVES: Registry[Callable[[], Objective]] = Registry(
    "objective", {"tasks": _tasks, "captions": _captions}
)


def build_learner(recipe: Recipe) -> nn.Module:
    """Build a fresh learner; its ``encoder`` is averaged, judged and exported."""
    return OBJECTIVES[recipe.objective]().learner(recipe)


def build_batches(
    sources: Sequence[Source],
    recipe: Recipe,
    part: slice = slice(None),
    activations: Activations | None = None,
) -> StepBatches:
    """Build the batches of a run; arguments as of `StepBatches`."""
    return OBJECTIVES[recipe.objective]().batches(sources, recipe, part, activations)
