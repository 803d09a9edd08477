"""The number of threads that are worth their cores."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

_WORTHWHILE = 1.25  # times as fast: threads take cores from others
_MOST_RUNS, _MOST_SECONDS = 12, 0.5  # of a measurement


def usable_threads() -> int:
    """Return the number of cores of this process, or what OMP_NUM_THREADS says.

    >>> usable_threads() >= 1
    True
    """
    text = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(text)) if text.isdecimal() else len(os.sched_getaffinity(0))


def worthwhile_threads(
    work: Callable[[], object], set_threads: Callable[[int], None], every: int
) -> int:
    """Measure how many threads to compute with beside other programs, and set them.

    Threads wait for each other after every layer, and one that shares its core with a camera delays
    all. A small tower on two cores was no faster with two threads alone; beside a camera, a frame
    took 29 ms with two and 20 with one. PE-Core-B-16 took 172 and 227 ms.

    Args:
        work: the computation; it is run a few times, for about a second.
        set_threads: sets the number of its threads.
        every: most threads to use.

    Returns:
        The number that is set now.
    """
    many = every - 1 if every > 2 else every  # one for the others, where that leaves several
    times = {}
    for count in dict.fromkeys((many, 1)) if many > 1 else ():
        set_threads(count)
        times[count] = _fastest(work)
    chosen = many if many > 1 and times[1] > _WORTHWHILE * times[many] else 1
    set_threads(chosen)
    return chosen


def _fastest(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of several runs, two at least."""
    times: list[float] = []
    while len(times) < 2 or (len(times) < _MOST_RUNS and sum(times) < _MOST_SECONDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
