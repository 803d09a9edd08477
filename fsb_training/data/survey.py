"""A survey of a data root: the data sets in it, their faces, their labels, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fsb_perception.problems import Problems
from fsb_perception.progress import SILENT, Progress
from fsb_perception.tasks import TASKS
from fsb_training.data.pictures import read_picture
from fsb_training.datasets import DATASETS, load_part, loader_of
from fsb_training.datasets.faceset import (
    MISSING,
    AbsentError,
    DatasetError,
    FaceSet,
    NoFolderError,
)


@dataclass(frozen=True)
class Part:
    """The result of the survey for one part of a data set.

    Attributes:
        name: of the data set.
        part: "train", "val", ...
        faces: the usable faces, or None.
        error: the reason why the part could not be read.
    """

    name: str
    part: str
    faces: FaceSet | None
    error: DatasetError | None = None

    def __str__(self) -> str:
        return f"{self.name}:{self.part}"

    @property
    def is_there(self) -> bool:
        """True if the part exists, readable or not."""
        return not isinstance(self.error, AbsentError)

    @property
    def is_wrong(self) -> bool:
        """True if the part exists and cannot be read."""
        return self.error is not None and self.is_there


def survey(
    root: Path,
    specs: Sequence[str] = (),
    *,
    open_pictures: bool = False,
    progress: Progress = SILENT,
) -> list[Part]:
    """Read every data set below a data root; an unreadable part does not stop the others.

    Args:
        root: the data root.
        specs: ``NAME`` or ``NAME:PART``; every data set if empty.
        open_pictures: also open every picture, and leave out those that cannot be read.
        progress: of the pictures that are opened.

    Raises:
        UnknownNameError: no such data set or part.
        AbsentError: there is no folder ``root``.
    """
    wanted = list(dict.fromkeys(pair for spec in specs or DATASETS for pair in _parts_of(spec)))
    if not root.is_dir():
        raise AbsentError(
            f"there is no folder {root}: name the data root, which holds a folder for each data set"
        )
    parts = (_read(root, name, part) for name, part in wanted)
    return [_with_readable(part, progress) for part in parts] if open_pictures else list(parts)


def _parts_of(spec: str) -> Iterator[tuple[str, str]]:
    name, _, part = spec.partition(":")
    if part:
        loader_of(name, part)
        yield name, part
        return
    known = DATASETS[name].parts
    # Where there are other parts, "all" repeats them.
    yield from ((name, item) for item in known if item != "all" or len(known) == 1)


def _read(root: Path, name: str, part: str) -> Part:
    try:
        return Part(name, part, load_part(root, name, part))
    except DatasetError as error:
        return Part(name, part, None, error)


def _with_readable(part: Part, progress: Progress) -> Part:
    return replace(part, faces=without_unreadable(part.faces, progress)) if part.faces else part


def without_unreadable(faces: FaceSet, progress: Progress = SILENT) -> FaceSet:
    """Open every picture; return the faces whose pictures can be read, with the others counted."""
    problems = Problems([faces.problems])
    paths = [faces.root / file for file in faces.files]
    with ProcessPoolExecutor(initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        results = pool.map(_can_be_read, paths, chunksize=256)
        title = f"{faces.name}:{faces.part} pictures"
        readable = np.array(list(progress.track(title, results, len(paths))))
    for row in np.flatnonzero(~readable):
        problems.note("picture cannot be read", paths[row])
    return replace(faces.subset(np.flatnonzero(readable), faces.part), problems=problems)


def _can_be_read(path: Path) -> bool:
    return read_picture(path) is not None


def histogram(faces: FaceSet, task: str) -> tuple[NDArray[np.int64], int]:
    """Return the number of faces with each label of a task, (classes,), and without any label."""
    labels = faces.labels.get(task, np.full(len(faces), MISSING))
    known = labels[labels != MISSING]
    return np.bincount(known, minlength=len(TASKS[task].labels)), len(labels) - len(known)


def absent_sets(parts: Sequence[Part]) -> list[str]:
    """Return the names of the data sets that have no folder."""
    names = dict.fromkeys(part.name for part in parts)
    there = {part.name for part in parts if not isinstance(part.error, NoFolderError)}
    return [name for name in names if name not in there]
