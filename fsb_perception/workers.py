"""Processes that share work: none outlives the one that began it."""

from __future__ import annotations

import os
import threading
from multiprocessing import parent_process


def end_with_parent() -> None:
    """Have this process end when the one that began it is gone, killed or not.

    For processes of `multiprocessing`: a pool's workers learn of their parent's death only when
    they ask for more work, which may be hours later.
    """
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
