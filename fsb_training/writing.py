"""Files that are whole or not there, and what is said when the disk is full."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fsb_perception.errors import FsbError

Write = Callable[[IO[bytes]], object]


class TrainingError(FsbError):
    """Training cannot go on; the message says at which step, and what to change."""


def write_whole(path: Path, write: Write, size: int) -> None:
    """Have ``write`` fill a file under another name, then give it its own in one stroke.

    A kill at any moment leaves the file that was there before, and so does a full disk.

    Args:
        path: of the file.
        write: writes to an open file.
        size: bytes that it is about to take, for the error.

    Raises:
        TrainingError: the file cannot be written; names it, what it takes and what is free.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # else the new name may outlive a power cut, and its bytes not
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch turns the first into the second
        partial.unlink(missing_ok=True)
        raise TrainingError(
            f"cannot write {path}, which takes {size:,} bytes; {free_bytes(path.parent):,} are "
            f"free there: {_reason(error)}. What was there before is whole: make room and start "
            "again"
        ) from error


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Name the file in an error of the disk, wherever within it comes from.

    Raises:
        TrainingError: names it, what is wrong and what is free.
    """
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"cannot write {path}: {error.strerror or error}; {free_bytes(path.parent):,} bytes "
            "are free there. Make room and start again, or keep it elsewhere (data.cache, --run)"
        ) from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Of several runs one makes what they share in ``folder``, and the others find it made."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # gone with the process, however it ends
        yield


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written in ``folder``, which must exist."""
    return shutil.disk_usage(folder).free


def _reason(error: Exception) -> str:
    cause = error if isinstance(error, OSError) else error.__context__ or error
    return str(cause).splitlines()[0]
