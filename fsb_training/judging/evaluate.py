"""Judging an encoder on data sets: the robot's own alignment, preprocessing and engine."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsb_perception.alignment import Aligner
from fsb_perception.bundles.manifest import Manifest
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
_DRAWN_BY = ("dev_share", "split_seed")  # dev; of DataOptions


def open_parts(
    specs: Sequence[str], options: DataOptions, progress: Progress = SILENT
) -> list[Source]:
    """The faces of every ``NAME:PART``; a data set may be named once, since results go by name."""
    names = [spec.partition(":")[0] for spec in specs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(f"{', '.join(twice)} is named more than once: judge one part at a time")
    return [open_part(spec, options, progress) for spec in specs]


def open_part(spec: str, options: DataOptions, progress: Progress = SILENT) -> Source:
    """The faces that ``NAME:PART`` names: a published part, or our own "fit" or "dev"."""
    name, colon, part = spec.partition(":")
    if not colon:
        raise OptionError(f"a data set is NAME:PART, for instance FairFace:val; got {spec!r}")
    if part in _OWN_PARTS:
        return open_split(name, options, progress)[_OWN_PARTS.index(part)]
    return open_faces(load_part(Path(options.root), name, part), Path(options.cache), progress)


def learned_from(manifest: Manifest, specs: Iterable[str]) -> list[str]:
    """Those of the ``NAME:PART`` in ``specs`` that the bundle learned from, at least in part.

    Of a data set that only a bundle before it learned from, that held out faces of its own: so
    "dev" counts too.
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
    """Of the recipe; none where a manifest of another's making says nothing of them."""
    data = manifest.recipe.get("data")
    return data if isinstance(data, Mapping) else {}


def dev_split(manifests: Iterable[Manifest]) -> dict[str, Any]:
    """The settings of `DataOptions` that bundles drew their own dev by, as their recipes say.

    Raises:
        OptionError: they drew it differently, so no face is known to be new to all.
    """
    found: dict[tuple[tuple[str, Any], ...], str] = {}
    for manifest in manifests:
        said = _data_settings(manifest)
        drawn = build(DataOptions, {name: said[name] for name in _DRAWN_BY if name in said})
        found.setdefault(tuple((name, getattr(drawn, name)) for name in _DRAWN_BY), manifest.name)
    if len(found) > 1:
        how = "; ".join(
            f"{bundle} by " + ", ".join(f"{name} {value}" for name, value in drawn)
            for drawn, bundle in found.items()
        )
        raise OptionError(f"the bundles held out different faces as dev, judge them apart: {how}")
    return dict(next(iter(found), ()))


def run(
    source: Source, aligner: Aligner, encode: Encode, progress: Progress = SILENT
) -> dict[str, Floats]:
    """``encode``'s answer for every face of ``source``: (n, classes) by task."""
    name = f"{source.faces.name}:{source.faces.part}"
    with progress.bar(name, len(source)) as bar:
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
    """The answers (n, classes) for all faces that have a label of a task, and the labels (n,).

    Args:
        answers: by data set and task.
        sources: the data sets.
        task: its name; there may be no face of it.
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
    """Metrics by data set and task, from probabilities by data set and task."""
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
    """A CSV of every labelled face: dataset, task, file, true, and p0, p1, ... in label order."""
    columns = max(rows.shape[1] for tasks in answers.values() for rows in tasks.values())
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "task", "file", "true", *(f"p{i}" for i in range(columns))])
        for source in sources:
            for task, rows in answers[source.faces.name].items():
                labels = source.faces.labels.get(task, np.full(len(source), MISSING))
                for index in np.flatnonzero(labels != MISSING):
                    numbers = [f"{p:.7g}" for p in rows[index]]
                    padding = [""] * (columns - len(numbers))
                    name = source.faces.files[index]
                    writer.writerow(
                        [source.faces.name, task, name, labels[index], *numbers, *padding]
                    )
