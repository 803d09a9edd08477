"""What a recipe learns: the labels of tasks, or which captions are true of a picture.

Each objective is a learner, which makes a loss of a batch, and batches that suit it. Everything
else of a run (schedules, averages, checkpoints, processes) is the trainer's, and the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from fsb_training.data.batches import Activations, StepBatches
    from fsb_training.data.faces import Source
    from fsb_training.recipe import Recipe


def build_learner(recipe: Recipe) -> nn.Module:
    """A fresh learner; its ``encoder`` is what is averaged, judged and exported."""
    if recipe.objective == "captions":
        from fsb_training.learning.captions.learner import CaptionLearner

        return CaptionLearner(recipe)
    from fsb_training.learning.learner import Learner

    return Learner(recipe)


def build_batches(
    sources: Sequence[Source],
    recipe: Recipe,
    part: slice = slice(None),
    activations: Activations | None = None,
) -> StepBatches:
    """The batches of a run; arguments as of `StepBatches`."""
    if recipe.objective == "captions":
        from fsb_training.learning.captions.learner import CaptionBatches

        return CaptionBatches(sources, recipe, part)
    from fsb_training.data.batches import StepBatches

    return StepBatches(sources, recipe, part, activations)
