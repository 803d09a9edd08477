"""The faces of one data set together with their stored pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsb_perception.problems import Problems
from fsb_perception.progress import SILENT, Progress
from fsb_training.data.store import FaceStore, open_store
from fsb_training.datasets.faceset import FaceSet
from fsb_training.filters import Outcome


@dataclass(frozen=True)
class Source:
    """Faces to learn from or to judge with.

    Attributes:
        faces: n faces with their labels.
        store: pictures and boxes of the whole part that the faces belong to.
        rows: (n,), where each face lies in the store.
        filters: the effect of each filter that the faces went through.
    """

    faces: FaceSet
    store: FaceStore
    rows: NDArray[np.int64]
    filters: tuple[Outcome, ...] = ()

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def spec(self) -> str:
        """Data set and part, as the command line names them: "FairFace:val"."""
        return f"{self.faces.name}:{self.faces.part}"

    def subset(self, rows: NDArray[np.int64], part: str | None = None) -> Source:
        """Return the faces at ``rows``, as the part called ``part`` or under the same name."""
        faces = self.faces.subset(rows, self.faces.part if part is None else part)
        return replace(self, faces=faces, rows=self.rows[rows])


def open_faces(faces: FaceSet, cache: Path, progress: Progress = SILENT) -> Source:
    """Open the pictures of ``faces``; a picture that cannot be read is left out and counted.

    Args:
        faces: a part of a data set.
        cache: folder of the stores.
        progress: of the pictures in which faces are detected.

    Raises:
        DatasetError: none of the pictures can be read.
        FileError: the cache cannot be written.
    """
    store = open_store(faces, cache, progress)
    rows = np.flatnonzero(store.readable)
    problems = Problems([faces.problems])
    for row in np.flatnonzero(~store.readable):
        problems.note("picture cannot be read", faces.root / faces.files[row])
    readable = replace(faces.subset(rows, faces.part), problems=problems)
    return Source(readable, store, rows)
