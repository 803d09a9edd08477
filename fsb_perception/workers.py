"""Threads that work ahead, and processes that end with their parent."""

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
    """End this process of `multiprocessing` when its parent ends, even if that is killed.

    Without this, the workers of a pool notice the end of their parent only when they ask for more
    work, which may be hours later.
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
    """Yield ``make(item)`` for each item, in order; threads make the next ones meanwhile.

    Args:
        make: called in several threads at once; its exceptions are raised here, in their turn.
        items: advanced in the calling thread alone.
        threads: number of threads that make.
        most: number of results that may wait.

    >>> list(ahead(str.upper, ["a", "b"], threads=2, most=2))
    ['A', 'B']
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
