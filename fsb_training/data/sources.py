"""The faces of a recipe: those that are learned from, and those that judge.

data.root --labels--> data.filters' files --pictures--> split --filters--> sources to fit
                                                          |
                                                          +--------------> sources of dev
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fsb_perception.options import OptionError
from fsb_perception.progress import SILENT, Progress
from fsb_perception.tasks import TASKS
from fsb_training.data.faces import Source, open_faces
from fsb_training.data.splits import draws, split
from fsb_training.data.survey import histogram
from fsb_training.datasets import load_training
from fsb_training.datasets.faceset import MISSING, DatasetError, FaceSet
from fsb_training.filters import Filter, Outcome, filtered, open_filters
from fsb_training.recipe import Recipe
from fsb_training.recipe_options import DataOptions

_log = logging.getLogger(__name__)


def open_sources(recipe: Recipe, progress: Progress = SILENT) -> tuple[list[Source], list[Source]]:
    """Open the "fit" and the "dev" faces of the recipe's data sets that have any of its tasks.

    Args:
        recipe: names data sets, tasks and filters.
        progress: of the pictures in which faces are detected.

    Raises:
        DatasetError: a data set or a filter's file is absent or malformed, or no face is left.
        OptionError: ``data.root`` is not set, or a filter's option is wrong.
    """
    options = recipe.data
    # All labels first: what is missing shows before hours are spent on the others' pictures.
    training, filters = open_training(options)
    chosen = _with_labels(training, recipe.tasks)
    pairs = [_split(faces, options, filters, progress) for faces in chosen]
    return [_labelled(fit, recipe.tasks) for fit, _ in pairs], [dev for _, dev in pairs]


def open_training(options: DataOptions) -> tuple[list[FaceSet], dict[str, Filter]]:
    """Read the labels of everything that is published for training, and open the filters."""
    if not options.root:
        raise OptionError(
            "data.root: got '', give the folder of the data sets: --set data.root=DIR"
        )
    root = Path(options.root)
    filters = open_filters(options.filters, root, options.shares)
    return [load_training(root, name) for name in sorted(options.shares)], filters


def _with_labels(training: Sequence[FaceSet], tasks: Sequence[str]) -> list[FaceSet]:
    """Keep the data sets with a label of any task: a recipe for several serves one alone."""
    require_labels(tasks, training)
    chosen = [f for f in training if any(histogram(f, task)[0].any() for task in tasks)]
    for name in sorted({faces.name for faces in training} - {faces.name for faces in chosen}):
        _log.info("%s: left out, since it has no label of %s", name, " or ".join(tasks))
    return chosen


def _labelled(source: Source, tasks: Sequence[str]) -> Source:
    """Leave out the faces without a label of any task: nothing can be learned from them."""
    faces = source.faces
    columns = [faces.labels[task] != MISSING for task in tasks if task in faces.labels]
    known = np.any(columns, axis=0)
    if known.all():
        return source
    if not known.any():
        raise DatasetError(
            f"{faces.name}: no face to fit has a label of {' or '.join(tasks)}: leave it out of "
            "data.shares"
        )
    _log.info(
        "%s: %d of %d faces left out, without a label of %s",
        faces.name, (~known).sum(), len(faces), " or ".join(tasks),
    )  # fmt: skip
    return source.subset(np.flatnonzero(known))


def require_labels(tasks: Sequence[str], sets: Sequence[FaceSet]) -> None:
    """Refuse a task that no face has a label of; warn of labels that no face has.

    Raises:
        DatasetError: names the task and the data sets.
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
            _log.warning("%s: no face has the label %s, so it cannot be learned", task, label)


def preview(recipe: Recipe) -> list[Outcome]:
    """Return the effect of the filters on all that is published for training; read no picture.

    Training holds a share out for validation, which is not filtered.
    """
    training, filters = open_training(recipe.data)
    chosen = _with_labels(training, recipe.tasks)
    return [outcome for faces in chosen for outcome in filtered(faces, filters)[2]]


def open_split(
    name: str, options: DataOptions, progress: Progress = SILENT
) -> tuple[Source, Source]:
    """Open the "fit" and the "dev" faces of one data set, before any filter."""
    return _split(load_training(Path(options.root), name), options, {}, progress)


def _split(
    training: FaceSet, options: DataOptions, filters: Mapping[str, Filter], progress: Progress
) -> tuple[Source, Source]:
    whole = open_faces(training, Path(options.cache), progress)
    faces, store = whole.faces, whole.store
    fit, dev, in_dev = split(faces, store, options.dev_share, options.split_seed, whole.rows)
    if not len(fit) or not len(dev):
        one_draw = np.unique(draws(faces, store, options.split_seed, whole.rows)).size == 1
        if len(faces) > 1 and one_draw:
            raise DatasetError(
                f"{faces.name}: all {len(faces)} pictures are near-duplicates of one: they "
                "cannot be split into those to fit and those to judge; add pictures of other scenes"
            )
        raise DatasetError(
            f"{faces.name}: {len(fit)} faces to fit and {len(dev)} to judge, of {len(faces)}, by "
            f"data.dev_share {options.dev_share} and near-duplicates together: take another share, "
            "another data.split_seed, or more pictures"
        )
    # The faces that judge stay as published: filters are for those that are learned from.
    kept_faces, kept, outcomes = filtered(fit, filters)
    detected = f"face found in {100 * store.detected_share:.1f} %"
    method = "as published" if faces.aligned else detected
    _log.info("%s: %d to fit, %d to judge; %s", faces.name, len(kept_faces), len(dev), method)
    _log_left_out(faces, outcomes)
    source = Source(kept_faces, store, whole.rows[~in_dev][kept], outcomes)
    return source, Source(dev, store, whole.rows[in_dev])


def _log_left_out(faces: FaceSet, outcomes: Sequence[Outcome]) -> None:
    for sentence in faces.problems.sentences():
        _log.info("%s: %s", faces.name, sentence)
    for outcome in outcomes:
        for sentence in outcome.sentences():
            _log.info("%s", sentence)


def training_counts(sources: Sequence[Source]) -> dict[str, int]:
    """Return the number of faces that take part in training, by data set."""
    return {source.faces.name: len(source) for source in sources}


def filter_records(sources: Sequence[Source]) -> dict[str, list[dict[str, object]]]:
    """Return the effect of each filter for the manifest, by data set that one judged."""
    return {
        source.faces.name: [outcome.record() for outcome in source.filters]
        for source in sources
        if source.filters
    }
