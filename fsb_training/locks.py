"""Locks of folders: those that several runs share in turn, and the one folder of a run."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fsb_training.errors import TrainingError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: one run makes the shared files while the others wait for them.

    Args:
        folder: must exist; the lock is its file ``.lock``.
    """
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system releases it however the process ends
        yield


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run's folder: of two runs in it, the second is refused.

    The lock belongs to this process and not to its children, so workers that outlive a killed run
    keep no one out.

    Args:
        folder: made if it is missing; the lock is its file ``.run``.

    Raises:
        TrainingError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".run").open("a+") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise TrainingError(
                f"{folder} is in use by another run (process {holder}): wait for its end, or name "
                "another folder by --run"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
