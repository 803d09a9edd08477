"""Temporary folders with pictures of people: for this user alone, and removed even after a kill.

A process that is killed cannot remove its folder. So each holds a lock in it, and the next process
that makes such a folder removes those whose lock is free.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOCK = ".lock"
_GRACE = 10.0  # s from the last entry made in a folder; its process may be about to lock it


@contextmanager
def private_folder(prefix: str) -> Iterator[Path]:
    """Make a temporary folder of mode 0700 for a ``with`` block; first sweep those of killed ones.

    Args:
        prefix: of its name; folders of the same prefix are swept.

    >>> with private_folder("fsb-doctest-") as folder:
    ...     oct(folder.stat().st_mode & 0o777)
    '0o700'
    """
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError):  # of another user, or swept by another process meanwhile
            if _is_left(left):
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix) as name:  # of mode 0700
        folder = Path(name)
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder


def _is_left(folder: Path) -> bool:
    """Return whether a folder is this user's, and no process holds its lock.

    Raises:
        OSError: it cannot be looked at.
    """
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        return False
    if time.time() - status.st_mtime < _GRACE:  # its process may not have locked it yet
        return False
    lock = folder / _LOCK
    if not lock.exists():
        return True
    with lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
