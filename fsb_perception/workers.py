"""Threads that work ahead, and processes that do not outlive the one that began them."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from multiprocessing import parent_process
from typing import TypeVar

_T = TypeVar("_T")
_U = TypeVar("_U")


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


def ahead(
    make: Callable[[_T], _U], items: Iterable[_T], threads: int, most: int
) -> Generator[_U, None, None]:
    """What ``make`` makes of each item, in their order, while those before it are used.

    Args:
        make: is called in several threads at once; what it raises comes out here, in its turn.
        items: is advanced in the calling thread alone.
        threads: that make.
        most: items that may be ready and wait.
    """
    left = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead")
    try:
        waiting: deque[Future[_U]] = deque(pool.submit(make, item) for item in islice(left, most))
        while waiting:
            made = waiting.popleft().result()
            waiting.extend(pool.submit(make, item) for item in islice(left, 1))
            yield made
    finally:
        pool.shutdown(cancel_futures=True)
