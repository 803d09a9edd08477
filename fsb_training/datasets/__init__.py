"""Face data sets in their published layouts, one file each.

To add one, write a file here with ``load(root, part) -> FaceSet`` under
``@DATASETS.register("Name", parts=...)`` and import it at the end of this one. Labels that a data
set does not have are `MISSING`, and what cannot be used is counted with its reason, never dropped
in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fsb_perception.registry import Registry, UnknownNameError
from fsb_perception.tasks import TASKS

MISSING = -1


class DatasetError(RuntimeError):
    """A data set that is not where or what it should be; the message names the path and line."""


@dataclass(frozen=True)
class FaceSet:
    """Pictures of faces and what is known of them, in columns of one length n.

    Attributes:
        name: of the data set, for instance "FairFace".
        part: "train", "val", ...
        root: folder that ``files`` are relative to.
        files: picture of each face.
        labels: int64 (n,) by task name; `MISSING` where unknown.
        soft_labels: float32 (n, classes) by task name, rows sum to 1; a row of zeros where unknown.
        problems: how many entries were left out, by reason.
    """

    name: str
    part: str
    root: Path
    files: tuple[str, ...]
    labels: dict[str, NDArray[np.int64]]
    soft_labels: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    problems: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.files)

    def subset(self, rows: NDArray[np.int64], part: str) -> FaceSet:
        """The faces at ``rows``, as the part called ``part``."""
        return FaceSet(
            name=self.name,
            part=part,
            root=self.root,
            files=tuple(self.files[row] for row in rows),
            labels={task: column[rows] for task, column in self.labels.items()},
            soft_labels={task: column[rows] for task, column in self.soft_labels.items()},
            problems=self.problems,
        )


class Loader(Protocol):
    """Reads one data set."""

    licence: str
    parts: tuple[str, ...]
    training_parts: tuple[str, ...]

    def load(self, root: Path, part: str) -> FaceSet:
        """The faces of ``part`` below the data root ``root``."""
        ...


DATASETS: Registry[Loader] = Registry("data set")


def load_part(root: Path, name: str, part: str) -> FaceSet:
    """A published part of a data set.

    Args:
        root: the data root, in which each data set has its folder.
        name: of the data set.
        part: one of the loader's ``parts``.

    Raises:
        UnknownNameError: no such data set or part.
        DatasetError: files are missing or malformed.
    """
    loader = DATASETS[name]
    if part not in loader.parts:
        raise UnknownNameError(f"part of {name}", part, loader.parts)
    faces = loader.load(root, part)
    if not len(faces):
        raise DatasetError(f"{name}:{part} below {root} has no usable face: {dict(faces.problems)}")
    return faces


def load_training(root: Path, name: str) -> FaceSet:
    """All that a data set publishes for training, as one part called "training"."""
    parts = [load_part(root, name, part) for part in DATASETS[name].training_parts]
    first = parts[0]
    return FaceSet(
        name=name,
        part="training",
        root=first.root,
        files=tuple(file for part in parts for file in part.files),
        labels={t: np.concatenate([part.labels[t] for part in parts]) for t in first.labels},
        soft_labels={
            t: np.concatenate([part.soft_labels[t] for part in parts]) for t in first.soft_labels
        },
        problems=sum((part.problems for part in parts), Counter()),
    )


def label_column(task: str, labels: Sequence[str | None]) -> NDArray[np.int64]:
    """Label texts as indexes in the task table; None becomes `MISSING`."""
    index = {label: number for number, label in enumerate(TASKS[task].labels)}
    return np.array([MISSING if label is None else index[label] for label in labels], np.int64)


from fsb_training.datasets import fairface, ferplus, utkface  # noqa: E402, F401  (they register)
