"""The nano vision-language model: trained once, in a file that any recipe can start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save

from fsb_perception.files import write_whole
from fsb_perception.progress import SILENT, Progress
from fsb_training.data.faces import Source
from fsb_training.learning import trainer
from fsb_training.recipe import Recipe

TOWERS = "towers.safetensors"
"""Both pretrained towers, under open_clip's names."""


def pretrained(
    recipe: Recipe, sources: Sequence[Source], run: Path, progress: Progress = SILENT
) -> Path:
    """Return the file of both pretrained towers.

    If there is no such file, the towers are trained, from the run's checkpoint if it has one.

    Args:
        recipe: a recipe with the objective "captions".
        sources: pictures to learn from.
        run: folder of the run and of the file.
        progress: shows the steps of training.

    Raises:
        FsbError: training fails, or the file cannot be written.
    """
    path = run / TOWERS
    if path.is_file():
        return path
    state = trainer.begin(recipe, run, "cpu")
    trainer.fit(recipe, run, sources, [], "cpu", state=state, progress=progress)
    averaged = state.average.module  # a CaptionLearner
    towers = {"visual.trunk": averaged.image_tower, "text": averaged.text_tower}
    tensors = {
        f"{prefix}.{name}": tensor.contiguous()
        for prefix, tower in towers.items()
        for name, tensor in tower.state_dict().items()
    }
    write_whole(path, save(tensors))
    return path
