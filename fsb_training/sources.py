"""From a recipe to the faces that are learned from and those that judge."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fsb_training.batches import Source
from fsb_training.datasets import load_training
from fsb_training.faces import open_store
from fsb_training.recipe import DataOptions, Recipe
from fsb_training.splits import split

_log = logging.getLogger(__name__)


def open_sources(recipe: Recipe) -> tuple[list[Source], list[Source]]:
    """The "fit" and the "dev" faces of every data set that the recipe names."""
    pairs = [open_split(name, recipe.data) for name in sorted(recipe.data.shares)]
    return [fit for fit, _ in pairs], [dev for _, dev in pairs]


def open_split(name: str, options: DataOptions) -> tuple[Source, Source]:
    """The "fit" and the "dev" faces of one data set."""
    faces = load_training(Path(options.root), name)
    store = open_store(faces, Path(options.cache))
    fit, dev, in_dev = split(faces, store, options.dev_share, options.split_seed)
    _log.info(
        "%s: %d to fit, %d to judge; face found in %.1f %%; left out: %s",
        name, len(fit), len(dev), 100 * store.found, dict(faces.problems) or "none",
    )  # fmt: skip
    rows = np.arange(len(faces))
    return Source(fit, store, rows[~in_dev]), Source(dev, store, rows[in_dev])


def training_counts(sources: Sequence[Source]) -> dict[str, int]:
    """How many faces of each data set take part in training."""
    return {source.faces.name: len(source) for source in sources}
