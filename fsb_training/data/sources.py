"""From a recipe to the faces that are learned from and those that judge."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fsb_perception.options import OptionError
from fsb_perception.tasks import TASKS
from fsb_training.data.batches import Source
from fsb_training.data.faces import open_store, readable_faces
from fsb_training.data.splits import split
from fsb_training.data.survey import histogram
from fsb_training.datasets import load_training
from fsb_training.datasets.faceset import MISSING, DatasetError, FaceSet
from fsb_training.filters import Filter, Outcome, filtered, open_filters
from fsb_training.recipe import Recipe
from fsb_training.recipe_options import DataOptions

_log = logging.getLogger(__name__)


def open_sources(recipe: Recipe) -> tuple[list[Source], list[Source]]:
    """The "fit" and the "dev" faces of every data set that the recipe names and that has its tasks.

    Raises:
        DatasetError: a data set or a filter's file is not there, or malformed; or nothing is left.
    """
    options = recipe.data
    # All labels first: what is missing shows before hours are spent on the others' pictures.
    training, filters = open_training(options)
    pairs = [_split(faces, options, filters) for faces in _with_labels(training, recipe.tasks)]
    return [_labelled(fit, recipe.tasks) for fit, _ in pairs], [dev for _, dev in pairs]


def open_training(options: DataOptions) -> tuple[list[FaceSet], dict[str, Filter]]:
    """All that is published for training, by its labels alone, and the filters over it."""
    if not options.root:
        raise OptionError("data.root: not said; --set data.root=DIR, the folder of the data sets")
    root = Path(options.root)
    filters = open_filters(options.filters, root, options.shares)
    return [load_training(root, name) for name in sorted(options.shares)], filters


def _with_labels(training: Sequence[FaceSet], tasks: Sequence[str]) -> list[FaceSet]:
    """Those with a label of any task: a recipe for several serves one alone."""
    require_labels(tasks, training)
    chosen = [f for f in training if any(histogram(f, task)[0].any() for task in tasks)]
    for name in sorted({faces.name for faces in training} - {faces.name for faces in chosen}):
        _log.info("%s: left out, since it has no label of %s", name, " or ".join(tasks))
    return chosen


def _labelled(source: Source, tasks: Sequence[str]) -> Source:
    """Its faces that know any of the tasks: of the others there is nothing to learn."""
    faces = source.faces
    columns = [faces.labels[task] != MISSING for task in tasks if task in faces.labels]
    known = np.any(columns, axis=0)
    if known.all():
        return source
    if not known.any():
        raise DatasetError(f"{faces.name}: no face to fit has a label of {' or '.join(tasks)}")
    _log.info(
        "%s: %d of %d faces left out, without a label of %s",
        faces.name, (~known).sum(), len(faces), " or ".join(tasks),
    )  # fmt: skip
    return replace(
        source, faces=faces.subset(np.flatnonzero(known), faces.part), rows=source.rows[known]
    )


def require_labels(tasks: Sequence[str], sets: Sequence[FaceSet]) -> None:
    """Refuse a task of which nothing could be learned, and warn of labels that no face has.

    Raises:
        DatasetError: no face has a label of it; names the task and the data sets.
    """
    names = ", ".join(faces.name for faces in sets) or "no data set"
    for task in tasks:
        counts = np.sum([histogram(faces, task)[0] for faces in sets], axis=0)
        if not np.any(counts):
            raise DatasetError(
                f"no face of {names} has a label of {task}: leave it out of tasks, or add a data "
                "set to data.shares"
            )
        for label in np.array(TASKS[task].labels)[counts == 0]:
            _log.warning("%s: nothing to learn %s from, no face has this label", task, label)


def preview(recipe: Recipe) -> list[Outcome]:
    """What the filters would do to all that is published for training; no picture is read.

    Training holds a share out for validation, which is not filtered.
    """
    training, filters = open_training(recipe.data)
    chosen = _with_labels(training, recipe.tasks)
    return [outcome for faces in chosen for outcome in filtered(faces, filters)[2]]


def open_split(name: str, options: DataOptions) -> tuple[Source, Source]:
    """The "fit" and the "dev" faces of one data set, before any filter."""
    return _split(load_training(Path(options.root), name), options, {})


def _split(
    faces: FaceSet, options: DataOptions, filters: Mapping[str, Filter]
) -> tuple[Source, Source]:
    store = open_store(faces, Path(options.cache))
    faces, rows = readable_faces(faces, store)
    fit, dev, in_dev = split(faces, store, options.dev_share, options.split_seed, rows)
    if not len(fit) or not len(dev):
        raise DatasetError(
            f"{faces.name}: {len(fit)} faces to fit and {len(dev)} to judge, of {len(faces)}, by "
            f"data.dev_share {options.dev_share} and near-duplicates together: take another share, "
            "another data.split_seed, or more pictures"
        )
    # What judges stays as published: filters are for what is learned from.
    fit, kept, outcomes = filtered(fit, filters)
    cut = "as published" if faces.aligned else f"face found in {100 * store.found:.1f} %"
    _log.info("%s: %d to fit, %d to judge; %s", faces.name, len(fit), len(dev), cut)
    left_out = [f"{faces.name}: {sentence}" for sentence in faces.problems.sentences()]
    for sentence in (*left_out, *(said for each in outcomes for said in each.sentences())):
        _log.info("%s", sentence)
    source = Source(fit, store, rows[~in_dev][kept], outcomes)
    return source, Source(dev, store, rows[in_dev])


def training_counts(sources: Sequence[Source]) -> dict[str, int]:
    """How many faces of each data set take part in training."""
    return {source.faces.name: len(source) for source in sources}


def filter_records(sources: Sequence[Source]) -> dict[str, list[dict[str, Any]]]:
    """What filters did to each data set, for the manifest; only where one had a say."""
    return {s.faces.name: [each.record() for each in s.filters] for s in sources if s.filters}
