"""Picture files: finding them, and reading them as the rest of FSB wants them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from fsb_perception.errors import FsbError
from fsb_perception.types import Image

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class PictureError(FsbError):
    """A picture that cannot be read or written; the message names the file and the reason."""


def find_pictures(path: Path, ignored_ending: str = "") -> list[Path]:
    """The picture files that a path names: itself, or those directly in it if it is a folder.

    Args:
        path: a file, whatever its suffix, or a folder.
        ignored_ending: of file names that are left out of a folder.

    Returns:
        Sorted by name.

    Raises:
        PictureError: there is nothing there.
    """
    if not path.exists():
        raise PictureError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        return [path]
    found = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in SUFFIXES)
    kept = [
        entry for entry in found if not (ignored_ending and entry.name.endswith(ignored_ending))
    ]
    if not kept:
        raise PictureError(f"{path}: no picture in this folder ({_known()})")
    return kept


def read_picture(path: Path) -> Image:
    """A picture file as uint8 BGR (height, width, 3), turned upright as its EXIF data says.

    Grey pictures get three equal channels, transparency is dropped, and 16 bits become 8.

    Raises:
        PictureError: it cannot be read or is not a picture.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)  # cv2.imread knows no unicode on Windows
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror or error}") from error
    if not data.size:
        raise PictureError(f"{path}: the file is empty")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:  # more pixels than OpenCV allows
        raise PictureError(f"{path}: {error.err}") from error
    if image is None:
        raise PictureError(f"{path}: not a picture, or damaged ({_known()})")
    return np.asarray(image, np.uint8)


def write_picture(path: Path, image: Image) -> None:
    """Write uint8 BGR in the format of the suffix; folders are made.

    Raises:
        PictureError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        written, data = cv2.imencode(path.suffix, image)
        if not written:
            raise PictureError(f"{path}: cannot be encoded as {path.suffix}")
        path.write_bytes(data.tobytes())
    except (OSError, cv2.error) as error:
        raise PictureError(f"{path}: cannot be written: {error}") from error


def unused_name(path: Path, taken: Iterable[Path]) -> Path:
    """``path``, or with ``_2``, ``_3``... before its suffix until it is not one of ``taken``.

    >>> unused_name(Path("a.jpg"), {Path("a.jpg"), Path("a_2.jpg")}).name
    'a_3.jpg'
    """
    taken = set(taken)
    candidate, number = path, 1
    while candidate in taken:
        number += 1
        candidate = path.with_stem(f"{path.stem}_{number}")
    return candidate


def _known() -> str:
    return "known: " + " ".join(sorted(suffix[1:] for suffix in SUFFIXES))
