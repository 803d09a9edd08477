"""The nano vision-language model: trained once, kept as a file that any recipe can begin with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save

from fsb_perception.files import write_whole
from fsb_training.data.faces import Source
from fsb_training.learning import trainer
from fsb_training.recipe import Recipe

TOWERS = "towers.safetensors"
"""Both pretrained towers, under open_clip's names."""


def pretrained(recipe: Recipe, sources: Sequence[Source], run: Path) -> Path:
    """The file of both pretrained towers; they are trained if it is not there, from where ``run``
    stands.

    Args:
        recipe: with the objective captions.
        sources: pictures to learn from.
        run: folder of the run; the towers lie in it.
    """
    path = run / TOWERS
    if path.is_file():
        return path
    state = trainer.begin(recipe, run, "cpu")
    trainer.fit(recipe, run, sources, [], "cpu", state=state)
    averaged = state.average.module  # a CaptionLearner
    towers = {"visual.trunk": averaged.image_tower, "text": averaged.text_tower}
    tensors = {
        f"{prefix}.{name}": tensor.contiguous()
        for prefix, tower in towers.items()
        for name, tensor in tower.state_dict().items()
    }
    write_whole(path, save(tensors))
    return path
