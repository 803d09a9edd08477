"""The common form of all data sets: pictures of faces with their labels."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fsb_perception.errors import FsbError
from fsb_perception.problems import Problems

MISSING = -1

ScalarT = TypeVar("ScalarT", bound=np.generic)


class DatasetError(FsbError):
    """A data set that is absent or malformed; the message names the path and line."""


class AbsentError(DatasetError):
    """A part of a data set that is not there."""


class NoFolderError(AbsentError):
    """A data set of which nothing is there."""


@dataclass(frozen=True)
class FaceSet:
    """Pictures of faces and their labels, in columns of one length n.

    Attributes:
        name: of the data set, for instance "FairFace".
        part: "train", "val", ...
        root: folder that ``files`` are relative to.
        files: picture of each face.
        labels: int64 (n,) by task name; `MISSING` where unknown.
        soft_labels: float32 (n, classes) by task name, rows sum to 1; a row of zeros where unknown.
        values: float32 (n,) by task name, for labels that are ranges of a number: the number
            itself, in the task's unit; NaN where unknown.
        traits: text (n,) by name, such as "race": facts beyond the tasks, by which a model is
            judged on each group; "" where unknown.
        people: name of the person on each; empty if the data set has no names.
        problems: the entries that were left out.
        aligned: the published pictures are faces that were cut and aligned already. Each is taken
            whole, so that results stay comparable with published ones.
    """

    name: str
    part: str
    root: Path
    files: tuple[str, ...]
    labels: dict[str, NDArray[np.int64]]
    soft_labels: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    values: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    traits: dict[str, NDArray[np.str_]] = field(default_factory=dict)
    people: tuple[str, ...] = ()
    problems: Problems = field(default_factory=Problems)
    aligned: bool = False

    def __len__(self) -> int:
        return len(self.files)

    def subset(self, rows: NDArray[np.int64], part: str) -> FaceSet:
        """Return the faces at ``rows``, as the part called ``part``."""
        return replace(
            self,
            part=part,
            files=tuple(self.files[row] for row in rows),
            labels={task: column[rows] for task, column in self.labels.items()},
            soft_labels={task: column[rows] for task, column in self.soft_labels.items()},
            values={task: column[rows] for task, column in self.values.items()},
            traits={name: column[rows] for name, column in self.traits.items()},
            people=tuple(self.people[row] for row in rows) if self.people else (),
        )


def without_repeats(faces: FaceSet) -> FaceSet:
    """Leave out, and count, pictures that are listed with two labels, and lines listed twice.

    Which of two labels is right is not known, so such a picture is left out altogether. Lines that
    complete each other, each with the labels of other tasks, stay.
    """
    lines: dict[str, list[int]] = {}
    for row, file in enumerate(faces.files):
        lines.setdefault(posixpath.normpath(file), []).append(row)
    left_out: list[int] = []
    problems = Problems([faces.problems])
    for file, rows in lines.items():
        if len(rows) < 2:
            continue
        labels = np.array([column[rows] for column in faces.labels.values()])
        if any(len(np.unique(task[task != MISSING])) > 1 for task in labels):
            left_out += rows
            problems.note("picture is listed with two labels", faces.root / file, len(rows))
        else:
            _, first = np.unique(labels, axis=1, return_index=True)
            again = sorted(set(rows) - {rows[int(place)] for place in first})
            left_out += again
            if again:
                problems.note("picture is listed again", faces.root / file, len(again))
    if not left_out:
        return faces
    kept = np.setdiff1d(np.arange(len(faces)), left_out)
    return replace(faces.subset(kept, faces.part), problems=problems)


class Loader(Protocol):
    """Reads one data set.

    Attributes:
        licence: of pictures and labels, in a few words.
        parts: as published; "all" beside others holds them together.
        training_parts: those to learn from; empty if the data set serves to judge alone.
    """

    licence: str
    parts: tuple[str, ...]
    training_parts: tuple[str, ...]

    def load(self, root: Path, part: str) -> FaceSet:
        """Load the faces of ``part`` below the data root.

        Raises:
            AbsentError: the folder or a table is missing.
            DatasetError: a table is malformed.
        """
        ...


def joined(parts: Sequence[FaceSet], part: str) -> FaceSet:
    """Join parts of one data set; a column that a part lacks is unknown for its faces."""
    return replace(
        parts[0],
        part=part,
        files=tuple(file for faces in parts for file in faces.files),
        labels=_stack([faces.labels for faces in parts], parts, MISSING),
        soft_labels=_stack([faces.soft_labels for faces in parts], parts, 0.0),
        values=_stack([faces.values for faces in parts], parts, np.nan),
        traits=_stack([faces.traits for faces in parts], parts, ""),
        people=tuple(person for faces in parts for person in faces.people),
        problems=Problems(faces.problems for faces in parts),
    )


def _stack(
    columns: Sequence[Mapping[str, NDArray[ScalarT]]],
    parts: Sequence[FaceSet],
    unknown: float | str,
) -> dict[str, NDArray[ScalarT]]:
    known = {name: column for table in columns for name, column in table.items()}
    return {
        name: np.concatenate(
            [
                table[name]
                if name in table
                else np.full((len(faces), *like.shape[1:]), unknown, like.dtype)
                for table, faces in zip(columns, parts, strict=True)
            ]
        )
        for name, like in known.items()
    }
