"""Files that are written whole or not at all, and their sha256."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from fsb_perception.errors import FsbError, error_line

Write = Callable[[IO[bytes]], object]


class FileError(FsbError):
    """A file that cannot be written; the message names it and the bytes that are free there."""


def write_whole(path: Path, content: bytes | str | Write) -> None:
    """Write a file under another name, then rename it: readers see the old file or the new one.

    A kill at any moment, a full disk or a power cut leaves the earlier file as it was. A device or
    a pipe, such as /dev/stdout, is written directly.

    Args:
        path: of the file; its folder must exist. A link stays, and the file it leads to is written.
        content: the bytes, a text (written as UTF-8), or a function that writes to an open file.

    Raises:
        FileError: the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "summary.json"
    ...     write_whole(path, "{}")
    ...     sha256_of(path)[:8]
    '44136fa3'
    """
    write = content if callable(content) else _writer(content)
    target = Path(os.path.realpath(path))
    if _is_special(target):
        _write_through(path, write)
        return
    partial = target.with_name(f"{target.name}.partial")
    try:
        with partial.open("w+b") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may keep the new name and lose the bytes
        os.replace(partial, target)
        _sync_folder(target.parent)  # likewise the new name itself
    except BaseException as error:
        _remove(partial)
        if not isinstance(error, OSError | RuntimeError):  # torch turns the first into the second
            raise
        raise FileError(
            f"cannot write {path}: {_reason(error)} ({free_bytes(path.parent):,} bytes are free); "
            "an earlier file there is unchanged"
        ) from error


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # a file system without it, such as some of networks
        entry = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)


def _is_special(path: Path) -> bool:
    try:
        return path.exists() and not path.is_file()
    except OSError:  # too long a name; writing reports it
        return False


def _writer(content: bytes | str) -> Write:
    data = content.encode() if isinstance(content, str) else content
    return lambda file: file.write(data)


def _write_through(path: Path, write: Write) -> None:
    try:
        with path.open("wb") as file:
            write(file)
    except (OSError, RuntimeError) as error:
        raise FileError(f"cannot write {path}: {_reason(error)}") from error


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's content, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    _add_content(digest, path)
    return digest.hexdigest()


def sha256_of_folder(folder: Path, pattern: str = "*") -> str:
    """Return the sha256 of the files below a folder: of their relative paths and contents.

    Args:
        folder: where to look, at any depth.
        pattern: glob pattern of the files' names.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob(pattern) if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        _add_content(digest, path)
    return digest.hexdigest()


def _add_content(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)


def free_bytes(folder: Path) -> int:
    """Return the bytes that may still be written in ``folder``; 0 if there is no such folder."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _remove(path: Path) -> None:
    with suppress(OSError):  # the folder itself cannot be written; the first error says so
        path.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    cause = error if isinstance(error, OSError) else error.__context__ or error
    if isinstance(cause, OSError) and cause.strerror:
        return error_line(OSError(cause.errno, cause.strerror))
    return str(cause).splitlines()[0]
