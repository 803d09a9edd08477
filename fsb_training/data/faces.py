"""Decoded pictures and the face in each, kept on disk so that they are found once.

Training warps every picture anew at each visit, so what is stored is not the aligned face but the
picture (shrunk to `STORED_SIDE`) with the face's box and landmarks.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fsb_perception.alignment import whole_picture_box
from fsb_perception.detection import build_detector
from fsb_perception.detection.base import Detector, DetectorConfig
from fsb_perception.images import files
from fsb_perception.images.decoding import PictureError
from fsb_perception.problems import Problems
from fsb_perception.types import Face, Floats, Image
from fsb_training.datasets.faceset import DatasetError, FaceSet
from fsb_training.writing import alone, writing_to

STORED_SIDE = 128  # px; larger pictures are shrunk to this longer side
_DETECTION_SIDE = 160  # px; small pictures are enlarged to this for the detector
_SCORE_THRESHOLD = 0.5  # a data set's picture does hold a face, so a doubtful one is taken
_PIXELS = "pixels.bin"
_VERSION = 1  # of the stored layout and of everything above


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
        """Picture ``row``, uint8 BGR (height, width, 3)."""
        height, width = self.shapes[row]
        return self.pixels[self.offsets[row] : self.offsets[row + 1]].reshape(height, width, 3)

    def face(self, row: int) -> Face:
        """The face in picture ``row``."""
        return Face(self.boxes[row], 1.0, self.landmarks[row])

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Mask (n,) of the pictures that could be read."""
        return self.shapes[:, 0] > 0

    @property
    def found(self) -> float:
        """Share of the readable pictures in which the detector found a face."""
        return float(np.isfinite(self.landmarks[self.readable, 0, 0]).mean())


def open_store(faces: FaceSet, folder: Path) -> FaceStore:
    """The store of ``faces`` in ``folder``; made there, with a progress bar, at the first call.

    Every face has its row; `readable_faces` leaves out those whose picture cannot be read.

    Raises:
        DatasetError: none of the pictures can be read.
        TrainingError: the disk is full.
    """
    folder = folder / f"{faces.name}-{faces.part}-{_fingerprint(faces)}"
    if not _is_made(faces, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder), writing_to(folder / _PIXELS):
            if not _is_made(faces, folder):  # by another run, meanwhile
                _make(faces, folder)
    index = np.load(folder / "index.npz")
    if not index["offsets"][-1]:
        raise DatasetError(
            f"{faces.name}:{faces.part}: none of {len(faces)} pictures can be read, for instance "
            f"{faces.root / faces.files[0]}"
        )
    pixels = np.memmap(folder / _PIXELS, np.uint8, "r")
    return FaceStore(pixels, *(index[name] for name in ("offsets", "shapes", "boxes", "landmarks")))


def readable_faces(faces: FaceSet, store: FaceStore) -> tuple[FaceSet, NDArray[np.int64]]:
    """The faces whose pictures can be read, the others counted, and their rows in ``store``."""
    rows = np.flatnonzero(store.readable)
    problems = Problems([faces.problems])
    for row in np.flatnonzero(~store.readable):
        problems.note("picture cannot be read", faces.root / faces.files[row])
    return replace(faces.subset(rows, faces.part), problems=problems), rows


def _fingerprint(faces: FaceSet) -> str:
    text = "\n".join([str(_VERSION), str(faces.root.resolve()), *faces.files])
    text += "\naligned" if faces.aligned else ""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _is_made(faces: FaceSet, folder: Path) -> bool:
    """Whether the store is there; one whose unreadable pictures were replaced since is not."""
    file = folder / "index.npz"
    if not file.is_file():
        return False
    unreadable = np.flatnonzero(np.load(file)["shapes"][:, 0] == 0)
    paths = (faces.root / faces.files[row] for row in unreadable)
    return all(not p.is_file() or p.stat().st_ctime < file.stat().st_mtime for p in paths)


def _make(faces: FaceSet, folder: Path) -> None:
    paths = [faces.root / file for file in faces.files]
    shapes, boxes, landmarks = [], [], []
    pictures = folder / f"{_PIXELS}.partial"
    with pictures.open("wb") as file:
        rows = _prepare_all(paths, faces.aligned)
        for image, box, points in tqdm(
            rows, f"{faces.name}:{faces.part} faces", len(paths), unit="face"
        ):
            file.write(image.tobytes())
            shapes.append(image.shape[:2])
            boxes.append(box)
            landmarks.append(points)
    sizes = np.array(shapes, np.int64).prod(axis=1) * 3
    partial = folder / "index.partial.npz"
    np.savez(
        partial,
        offsets=np.concatenate([[0], sizes.cumsum()]),
        shapes=np.array(shapes, np.int64),
        boxes=np.array(boxes, np.float32),
        landmarks=np.array(landmarks, np.float32),
    )
    # Whole or not at all, and no index of other pictures. Runs that have the old ones open keep
    # them: their file has lost its name, not its bytes.
    (folder / "index.npz").unlink(missing_ok=True)
    os.replace(pictures, folder / _PIXELS)
    os.replace(partial, folder / "index.npz")


def _prepare_all(paths: Sequence[Path], aligned: bool) -> Iterator[tuple[Image, Floats, Floats]]:
    workers = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.map(_prepare, paths, repeat(aligned), chunksize=64)


@cache
def _worker_detector() -> Detector:
    """One detector a worker process."""
    return build_detector(DetectorConfig(score_threshold=_SCORE_THRESHOLD))


def _prepare(path: Path, aligned: bool) -> tuple[Image, Floats, Floats]:
    """Picture, box and landmarks; an empty picture where it cannot be read."""
    image = read_picture(path)
    if image is None:
        return np.zeros((0, 0, 3), np.uint8), np.full(4, np.nan, np.float32), _no_landmarks()
    image = _fit(image, STORED_SIDE, enlarge=False)
    if aligned:
        height, width = image.shape[:2]
        return image, whole_picture_box(width, height), _no_landmarks()
    return image, *find_face(image, _worker_detector())


def read_picture(path: Path) -> Image | None:
    """Return the picture at ``path``, uint8 BGR (height, width, 3), or None if it is unreadable."""
    try:
        return files.read_picture(path)
    except PictureError:
        return None


def _no_landmarks() -> Floats:
    return np.full((5, 2), np.nan, np.float32)


def find_face(image: Image, detector: Detector) -> tuple[Floats, Floats]:
    """Box (4,) and landmarks (5, 2) of the main face of a data set's picture, in its pixels.

    The face nearest the middle is meant, as in every data set of cropped faces. Where none is found
    the box is the whole picture and the landmarks are NaN.
    """
    height, width = image.shape[:2]
    found = detector.detect(_fit(image, _DETECTION_SIDE, enlarge=True))
    scale = max(height, width) / _DETECTION_SIDE
    middle = np.array([width, height], np.float32) / 2
    faces = [(face.box_xyxy * scale, face.landmarks_xy * scale) for face in found]
    # A face whose box misses the middle is somebody in the background.
    faces = [f for f in faces if (f[0][:2] < middle).all() and (f[0][2:] > middle).all()]
    if not faces:
        return np.array([0, 0, width, height], np.float32), _no_landmarks()
    return max(faces, key=lambda f: float(np.prod(f[0][2:] - f[0][:2])))


def _fit(image: Image, side: int, *, enlarge: bool) -> Image:
    scale = side / max(image.shape[:2])
    if scale == 1 or (scale > 1 and not enlarge):
        return image
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=method)
