"""A lock of a folder that several runs share, such as the cache of faces."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: one run makes the shared files while the others wait for them.

    Args:
        folder: must exist; the lock is its file ``.lock``.
    """
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system releases it however the process ends
        yield
