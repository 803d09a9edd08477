"""Judge an encoder on labelled data sets, with the robot's alignment, preprocessing and engine."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsb_perception.alignment import Aligner
from fsb_perception.bundles.manifest import Manifest
from fsb_perception.files import write_whole
from fsb_perception.options import OptionError, build
from fsb_perception.progress import SILENT, Progress
from fsb_perception.tasks import TASKS
from fsb_perception.types import Floats, Image
from fsb_training.data.faces import Source, open_faces
from fsb_training.data.sources import open_split
from fsb_training.datasets import DATASETS, load_part
from fsb_training.datasets.faceset import MISSING
from fsb_training.judging.metrics import task_metrics
from fsb_training.judging.results import labelled_tasks
from fsb_training.recipe_options import DataOptions

Encode = Callable[[Sequence[Image]], dict[str, Floats]]
Metrics = dict[str, dict[str, dict[str, float | int]]]

_BATCH = 64
_OWN_PARTS = ("fit", "dev")
_DRAWN_BY = ("dev_share", "split_seed")  # options of DataOptions that decide which faces are dev


def open_parts(
    specs: Sequence[str], options: DataOptions, progress: Progress = SILENT
) -> list[Source]:
    """Open the faces of every ``NAME:PART``.

    Raises:
        OptionError: a data set is named twice; results are stored by its name.
        DatasetError: a data set is absent, or cannot be read.
    """
    names = [spec.partition(":")[0] for spec in specs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(f"{', '.join(twice)} is named more than once: judge one part at a time")
    return [open_part(spec, options, progress) for spec in specs]


def open_part(spec: str, options: DataOptions, progress: Progress = SILENT) -> Source:
    """Open the faces of a ``NAME:PART``: a published part, or our own "fit" or "dev".

    Raises:
        OptionError: the text has no part.
        DatasetError: the data set is absent, or cannot be read.
    """
    name, colon, part = spec.partition(":")
    if not colon:
        raise OptionError(f"a data set is NAME:PART, for instance FairFace:val; got {spec!r}")
    if part in _OWN_PARTS:
        return open_split(name, options, progress)[_OWN_PARTS.index(part)]
    return open_faces(load_part(Path(options.root), name, part), Path(options.cache), progress)


def learned_from(manifest: Manifest, specs: Iterable[str]) -> list[str]:
    """Return the ``NAME:PART`` in ``specs`` that the bundle learned from, at least in part.

    A bundle may have learned from a data set only through the bundle it was trained from, which
    held out other faces as "dev". Then "dev" is returned too.
    """
    known = {entry.name for entry in manifest.training_data if entry.name in DATASETS}
    own = _data_settings(manifest).get("shares", {})
    pairs = [(spec, *spec.split(":")) for spec in specs if spec.count(":") == 1]
    return [
        spec
        for spec, name, part in pairs
        if name in known
        and (
            part in (*DATASETS[name].training_parts, "fit", "all")
            or (part == "dev" and name not in own)
        )
    ]


def _data_settings(manifest: Manifest) -> Mapping[str, Any]:
    """Return the data options in the recipe; empty for a manifest without them."""
    data = manifest.recipe.get("data")
    return data if isinstance(data, Mapping) else {}


def dev_split(manifests: Iterable[Manifest]) -> dict[str, Any]:
    """Return the settings of `DataOptions` by which the bundles drew their "dev".

    Raises:
        OptionError: the bundles drew it differently, so no face is known to be new to all.
    """
    draws: dict[tuple[tuple[str, Any], ...], str] = {}
    for manifest in manifests:
        settings = _data_settings(manifest)
        drawn = build(DataOptions, {name: settings[name] for name in _DRAWN_BY if name in settings})
        draws.setdefault(tuple((name, getattr(drawn, name)) for name in _DRAWN_BY), manifest.name)
    if len(draws) > 1:
        how = "; ".join(
            f"{bundle} by " + ", ".join(f"{name} {value}" for name, value in drawn)
            for drawn, bundle in draws.items()
        )
        raise OptionError(f"the bundles held out different faces as dev, judge them apart: {how}")
    return dict(next(iter(draws), ()))


def run(
    source: Source, aligner: Aligner, encode: Encode, progress: Progress = SILENT
) -> dict[str, Floats]:
    """Return the answers of ``encode`` for every face of ``source``: (n, classes) by task."""
    with progress.bar(source.spec, len(source)) as bar:
        parts = []
        for rows in _chunks(source.rows):
            parts.append(encode([_aligned(source, int(row), aligner) for row in rows]))
            bar.advance(len(rows))
    return {task: np.concatenate([part[task] for part in parts]) for task in parts[0]}


def _chunks(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


def _aligned(source: Source, row: int, aligner: Aligner) -> Image:
    return aligner.align(source.store.image(row), source.store.face(row))


def together(
    answers: Mapping[str, Mapping[str, Floats]], sources: Iterable[Source], task: str
) -> tuple[Floats, NDArray[np.int64]]:
    """Return the answers (n, classes) for all faces with a label of a task, and the labels (n,).

    Args:
        answers: answers by data set and task.
        sources: the data sets.
        task: name of the task; no face need have a label of it.
    """
    classes = len(TASKS[task].labels)
    rows, labels = [np.empty((0, classes), np.float32)], [np.empty(0, np.int64)]
    for source in sources:
        column = source.faces.labels.get(task)
        if column is not None:
            known = column != MISSING
            rows.append(answers[source.faces.name][task][known])
            labels.append(column[known])
    return np.concatenate(rows), np.concatenate(labels)


def judge(answers: dict[str, dict[str, Floats]], sources: Iterable[Source]) -> Metrics:
    """Return metrics by data set and task, from probabilities by data set and task."""
    return {
        source.faces.name: {
            task: _metrics(source, task, answers[source.faces.name][task])
            for task in labelled_tasks(source, answers[source.faces.name])
        }
        for source in sources
    }


def _metrics(source: Source, task: str, probabilities: Floats) -> dict[str, float | int]:
    labels, values = source.faces.labels[task], source.faces.values.get(task)
    known = labels != MISSING
    return task_metrics(
        task, probabilities[known], labels[known], None if values is None else values[known]
    )


def write_predictions(
    path: Path, answers: dict[str, dict[str, Floats]], sources: Iterable[Source]
) -> None:
    """Write a CSV of every labelled face: dataset, task, file, true, p0, p1, ... in label order.

    Raises:
        FileError: the file cannot be written.
    """
    columns = max(rows.shape[1] for tasks in answers.values() for rows in tasks.values())
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["dataset", "task", "file", "true", *(f"p{i}" for i in range(columns))])
    for source in sources:
        for task, rows in answers[source.faces.name].items():
            writer.writerows(_prediction_rows(source, task, rows, columns))
    write_whole(path, text.getvalue())


def _prediction_rows(
    source: Source, task: str, probabilities: Floats, columns: int
) -> Iterator[list[str]]:
    faces = source.faces
    labels = faces.labels.get(task, np.full(len(source), MISSING))
    padding = [""] * (columns - probabilities.shape[1])
    for index in np.flatnonzero(labels != MISSING):
        numbers = [f"{p:.7g}" for p in probabilities[index]]
        yield [faces.name, task, faces.files[index], str(labels[index]), *numbers, *padding]
