"""Work done ahead of the one who asks for it, in another thread, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


def ahead(items: Iterator[_T], most: int) -> Generator[_T, None, None]:
    """The same items, each made in one other thread while those before it are used.

    Args:
        items: is advanced in that thread alone; what it raises comes out here, in its turn.
        most: items that may be ready and wait.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        waiting: deque[Future[_T]] = deque(pool.submit(next, items) for _ in range(most))
        while True:
            try:
                item = waiting.popleft().result()
            except StopIteration:
                return
            waiting.append(pool.submit(next, items))
            yield item
