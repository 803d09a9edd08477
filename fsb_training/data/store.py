"""A store on disk of decoded pictures and the face in each, so that faces are detected once.

    data.cache/NAME-PART-KEY/pixels.bin     all pictures, one behind the other
    data.cache/NAME-PART-KEY/index.npz      where each begins, its shape, box and landmarks

Training warps every picture differently at each visit. So the store holds no aligned faces, but the
pictures (shrunk to `pictures.STORED_SIDE`) with box and landmarks of the face.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from numpy.typing import NDArray

from fsb_perception.progress import SILENT, Progress
from fsb_perception.sealed import is_intact, write_sealed
from fsb_perception.types import Face, Floats, Image
from fsb_training.data.pictures import Prepared, prepare
from fsb_training.datasets.faceset import DatasetError, FaceSet
from fsb_training.locks import locked

_log = logging.getLogger(__name__)
_PIXELS, _INDEX = "pixels.bin", "index.npz"
_VERSION = 1  # of the stored layout and of the preparation of pictures


@dataclass(frozen=True)
class FaceStore:
    """Pictures and faces of one `FaceSet`, row by row.

    Attributes:
        pixels: uint8, all pictures one behind the other (BGR), read from disk as needed.
        offsets: int64 (n + 1,) where each picture begins in ``pixels``.
        shapes: int64 (n, 2), height and width; 0 and 0 where the picture cannot be read.
        boxes: float32 (n, 4); the whole picture where no face was found.
        landmarks: float32 (n, 5, 2); NaN where no face was found.
    """

    pixels: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    shapes: NDArray[np.int64]
    boxes: Floats
    landmarks: Floats

    def __len__(self) -> int:
        return len(self.shapes)

    def image(self, row: int) -> Image:
        """Return picture ``row``, uint8 BGR (height, width, 3)."""
        height, width = self.shapes[row]
        return self.pixels[self.offsets[row] : self.offsets[row + 1]].reshape(height, width, 3)

    def face(self, row: int) -> Face:
        """Return the face in picture ``row``, in pixels of that picture."""
        return Face(self.boxes[row], 1.0, self.landmarks[row])

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Mask (n,) of the pictures that could be read."""
        return self.shapes[:, 0] > 0

    @property
    def detected_share(self) -> float:
        """Share of the readable pictures in which the detector found a face, in [0, 1]."""
        return float(np.isfinite(self.landmarks[self.readable, 0, 0]).mean())


def open_store(faces: FaceSet, folder: Path, progress: Progress = SILENT) -> FaceStore:
    """Open the store of ``faces``; the first call makes it.

    Every face has its row, also one whose picture cannot be read.

    Args:
        faces: a part of a data set.
        folder: the cache; the store is a folder in it.
        progress: of the pictures in which faces are detected.

    Raises:
        DatasetError: none of the pictures can be read.
        FileError: the store cannot be written, for instance because the disk is full.
    """
    folder = folder / f"{faces.name}-{faces.part}-{_fingerprint(faces)}"
    if not _is_made(faces, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if not _is_made(faces, folder):  # another run may have made it meanwhile
                _make(faces, folder, progress)
    index = np.load(folder / _INDEX)
    if not index["offsets"][-1]:
        raise DatasetError(
            f"{faces.name}:{faces.part}: none of {len(faces)} pictures can be read, for instance "
            f"{faces.root / faces.files[0]}; check that they are whole JPEG or PNG files"
        )
    pixels = np.memmap(folder / _PIXELS, np.uint8, "r")
    return FaceStore(pixels, *(index[name] for name in ("offsets", "shapes", "boxes", "landmarks")))


def _fingerprint(faces: FaceSet) -> str:
    text = "\n".join([str(_VERSION), str(faces.root.resolve()), *faces.files])
    text += "\naligned" if faces.aligned else ""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _is_made(faces: FaceSet, folder: Path) -> bool:
    """Return whether the store exists, is intact, and no unreadable picture was replaced since."""
    file = folder / _INDEX
    if not file.is_file():
        return False
    if not _is_intact(folder):
        _log.warning("%s is damaged and made again", folder)
        return False
    unreadable = np.flatnonzero(np.load(file)["shapes"][:, 0] == 0)
    paths = (faces.root / faces.files[row] for row in unreadable)
    return all(not p.is_file() or p.stat().st_ctime < file.stat().st_mtime for p in paths)


def _is_intact(folder: Path) -> bool:
    try:
        if not (is_intact(folder / _INDEX) and is_intact(folder / _PIXELS)):
            return False
        size = int(np.load(folder / _INDEX)["offsets"][-1])
        return (folder / _PIXELS).stat().st_size >= size
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False


def _make(faces: FaceSet, folder: Path, progress: Progress) -> None:
    paths = [faces.root / file for file in faces.files]
    columns: list[tuple[tuple[int, ...], Floats, Floats]] = []

    def write(file: IO[bytes]) -> None:
        pictures = _prepare_all(paths, faces.aligned)
        title = f"{faces.name}:{faces.part} faces"
        for image, box, landmarks in progress.track(title, pictures, len(paths)):
            file.write(image.tobytes())
            columns.append((image.shape[:2], box, landmarks))
        # No index may point into other pixels. Runs that have the old files open keep them: a
        # replaced file loses its name, not its bytes.
        (folder / _INDEX).unlink(missing_ok=True)

    write_sealed(folder / _PIXELS, write)
    shapes, boxes, landmarks = zip(*columns, strict=True)
    _write_index(
        folder / _INDEX,
        np.array(shapes, np.int64),
        np.array(boxes, np.float32),
        np.array(landmarks, np.float32),
    )


def _write_index(path: Path, shapes: NDArray[np.int64], boxes: Floats, landmarks: Floats) -> None:
    offsets = np.concatenate([[0], (shapes.prod(axis=1) * 3).cumsum()])

    def write(file: IO[bytes]) -> None:
        np.savez(file, offsets=offsets, shapes=shapes, boxes=boxes, landmarks=landmarks)

    write_sealed(path, write)


def _prepare_all(paths: Sequence[Path], aligned: bool) -> Iterator[Prepared]:
    workers = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.map(prepare, paths, repeat(aligned), chunksize=64)
