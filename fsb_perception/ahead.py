"""Work done ahead of the one who asks for it, in other threads, given out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_T = TypeVar("_T")
_U = TypeVar("_U")


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
