"""What a data root holds: which data sets, how many faces, how they are spread, what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fsb_perception.problems import Problems
from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS
from fsb_training.data.faces import read_picture
from fsb_training.datasets import DATASETS, load_part
from fsb_training.datasets.faceset import MISSING, AbsentError, DatasetError, FaceSet, NoFolderError


@dataclass(frozen=True)
class Part:
    """What was found of one part of a data set.

    Attributes:
        name: of the data set.
        part: "train", "val", ...
        faces: what could be read, or None.
        error: why it could not be read.
    """

    name: str
    part: str
    faces: FaceSet | None
    error: DatasetError | None = None

    def __str__(self) -> str:
        return f"{self.name}:{self.part}"

    @property
    def is_there(self) -> bool:
        """Whether there is something, be it wrong."""
        return not isinstance(self.error, AbsentError)

    @property
    def is_wrong(self) -> bool:
        """Whether there is something that cannot be read."""
        return self.error is not None and self.is_there


def survey(root: Path, specs: Sequence[str] = (), *, open_pictures: bool = False) -> list[Part]:
    """What is below a data root; one unreadable part keeps no other from being read.

    Args:
        root: the data root.
        specs: ``NAME`` or ``NAME:PART``; every data set if empty.
        open_pictures: also open every picture, and leave out those that cannot be read.

    Raises:
        UnknownNameError: no such data set or part.
        AbsentError: there is no folder ``root``.
    """
    wanted = list(dict.fromkeys(pair for spec in specs or DATASETS for pair in _parts_of(spec)))
    if not root.is_dir():
        raise AbsentError(f"there is no folder {root}: the data root holds a folder each data set")
    return [_look(root, name, part, open_pictures) for name, part in wanted]


def _parts_of(spec: str) -> Iterator[tuple[str, str]]:
    name, _, part = spec.partition(":")
    known = DATASETS[name].parts
    if part and part not in known:
        raise UnknownNameError(f"part of {name}", part, known)
    # "all" repeats the others where there are others.
    for each in (part,) if part else [p for p in known if p != "all" or len(known) == 1]:
        yield name, each


def _look(root: Path, name: str, part: str, open_pictures: bool) -> Part:
    try:
        faces = load_part(root, name, part)
        return Part(name, part, without_unreadable(faces) if open_pictures else faces)
    except DatasetError as error:
        return Part(name, part, None, error)


def without_unreadable(faces: FaceSet) -> FaceSet:
    """The faces whose pictures can be read, every one of which is opened; the others counted."""
    problems = Problems([faces.problems])
    paths = [faces.root / file for file in faces.files]
    with ProcessPoolExecutor(initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        read = pool.map(_can_be_read, paths, chunksize=256)
        title = f"{faces.name}:{faces.part} pictures"
        readable = np.array(list(tqdm(read, title, len(paths), unit="picture")))
    for row in np.flatnonzero(~readable):
        problems.note("picture cannot be read", paths[row])
    return replace(faces.subset(np.flatnonzero(readable), faces.part), problems=problems)


def _can_be_read(path: Path) -> bool:
    return read_picture(path) is not None


def histogram(faces: FaceSet, task: str) -> tuple[NDArray[np.int64], int]:
    """How many faces have each label of a task, (classes,), and of how many it is unknown."""
    labels = faces.labels.get(task, np.full(len(faces), MISSING))
    known = labels[labels != MISSING]
    return np.bincount(known, minlength=len(TASKS[task].labels)), len(labels) - len(known)


def absent_sets(parts: Sequence[Part]) -> list[str]:
    """Data sets of which nothing is there."""
    names = dict.fromkeys(each.name for each in parts)
    there = {each.name for each in parts if not isinstance(each.error, NoFolderError)}
    return [name for name in names if name not in there]
