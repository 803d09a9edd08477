"""From a recipe to the faces that are learned from and those that judge."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fsb_perception.options import OptionError
from fsb_training.batches import Source
from fsb_training.datasets import MISSING, FaceSet, load_training
from fsb_training.faces import open_store, readable_faces
from fsb_training.recipe import Recipe
from fsb_training.recipe_options import DataOptions
from fsb_training.splits import split

_log = logging.getLogger(__name__)
_NONE = np.empty(0, np.int64)


def open_sources(recipe: Recipe) -> tuple[list[Source], list[Source]]:
    """The "fit" and the "dev" faces of every data set that the recipe names."""
    options = recipe.data
    # All labels first: what is missing shows before hours are spent on the others' pictures.
    training = [load_training(Path(options.root), name) for name in sorted(options.shares)]
    require_labels(recipe.tasks, training)
    pairs = [_split(faces, options) for faces in training]
    return [fit for fit, _ in pairs], [dev for _, dev in pairs]


def require_labels(tasks: Sequence[str], sets: Sequence[FaceSet]) -> None:
    """Refuse a task of which nothing could be learned.

    Raises:
        OptionError: no face has a label of it; names the task and the data sets.
    """
    for task in tasks:
        if not any((faces.labels.get(task, _NONE) != MISSING).any() for faces in sets):
            names = ", ".join(faces.name for faces in sets) or "no data set"
            raise OptionError(
                f"tasks: got {task}, of which no face has a label in {names}: add a data set to "
                "data.shares that has some, or leave the task out"
            )


def open_split(name: str, options: DataOptions) -> tuple[Source, Source]:
    """The "fit" and the "dev" faces of one data set."""
    return _split(load_training(Path(options.root), name), options)


def _split(faces: FaceSet, options: DataOptions) -> tuple[Source, Source]:
    store = open_store(faces, Path(options.cache))
    faces, rows = readable_faces(faces, store)
    fit, dev, in_dev = split(faces, store, options.dev_share, options.split_seed, rows)
    cut = "as published" if faces.aligned else f"face found in {100 * store.found:.1f} %"
    _log.info("%s: %d to fit, %d to judge; %s", faces.name, len(fit), len(dev), cut)
    for sentence in faces.problems.sentences():
        _log.info("%s: %s", faces.name, sentence)
    return Source(fit, store, rows[~in_dev]), Source(dev, store, rows[in_dev])


def training_counts(sources: Sequence[Source]) -> dict[str, int]:
    """How many faces of each data set take part in training."""
    return {source.faces.name: len(source) for source in sources}
