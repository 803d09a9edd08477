"""Picture files: find them, read them as BGR, and write them whole or not at all."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from fsb_perception.errors import error_line
from fsb_perception.files import write_whole
from fsb_perception.images.decoding import FILES, DecodingConfig, decode_picture, encode_picture
from fsb_perception.images.headers import KNOWN, SUFFIXES, UNREAD, PictureError
from fsb_perception.problems import Problems
from fsb_perception.types import Image


def find_pictures(
    path: Path, ignored_ending: str = "", passed_over: Problems | None = None
) -> list[Path]:
    """List the picture files that a path names: itself, or those directly in a folder.

    Args:
        path: a file, with any suffix, or a folder.
        ignored_ending: file names with this ending are left out of a folder.
        passed_over: counts what a folder holds besides.

    Returns:
        Sorted by name.

    Raises:
        PictureError: there is nothing at ``path``, or no picture in the folder.
    """
    if not path.exists():
        raise PictureError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        return [path]
    pictures, others = [], Problems()
    for file in sorted(path.iterdir()):
        if reason := _why_not(file, ignored_ending):
            others.note(reason, file)
        else:
            pictures.append(file)
    if not pictures:
        known = "; ".join([*others.sentences(), KNOWN])
        raise PictureError(f"{path}: no picture in this folder ({known})")
    if passed_over is not None:
        passed_over.add(others)
    return pictures


def is_picture(path: Path) -> bool:
    """Return whether a path is a file that its name calls a picture that is read."""
    return not _why_not(path, "")


def _why_not(file: Path, ignored_ending: str) -> str:
    """Return why a file of a folder is not read; empty if it is."""
    suffix = file.suffix.lower()
    if file.is_dir():
        return "folder in a folder"
    if file.name.startswith("._"):
        return "file of macOS beside a picture"
    if ignored_ending and file.name.endswith(ignored_ending):
        return f"picture that FSB has annotated (*{ignored_ending})"
    for name, row in UNREAD.items():
        if suffix in row.suffixes:
            return f"{name} picture, which is not read: save it as JPEG"
    return "" if suffix in SUFFIXES else "file that is no picture by its name"


def read_picture(path: Path, config: DecodingConfig = FILES) -> Image:
    """Read a picture file as uint8 BGR (height, width, 3), turned upright as its EXIF data asks.

    Args:
        path: of the file.
        config: limits.

    Raises:
        PictureError: the file cannot be read, or `decode_picture` refuses its content.
    """
    try:
        return decode_picture(path.read_bytes(), config=config)
    except OSError as error:
        raise PictureError(error_line(error)) from error
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error


def write_picture(path: Path, image: Image) -> None:
    """Write a picture in the format of the suffix; missing folders are made.

    Args:
        path: of the file.
        image: uint8 BGR (height, width, 3).

    Raises:
        PictureError: the format cannot hold the picture, or no such folder can be made.
        FileError: the file cannot be written.
    """
    try:
        data = encode_picture(image, path.suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PictureError(error_line(error)) from error
    except PictureError as error:
        raise PictureError(f"{path}: {error}") from error
    write_whole(path, data)


def unused_name(path: Path, taken: Collection[Path]) -> Path:
    """Return ``path``, or the first of ``path_2``, ``path_3``... that is not ``taken``.

    >>> unused_name(Path("a.jpg"), {Path("a.jpg"), Path("a_2.jpg")}).name
    'a_3.jpg'
    """
    candidate, number = path, 1
    while candidate in taken:
        number += 1
        candidate = path.with_stem(f"{path.stem}_{number}")
    return candidate
