"""When each image of a recording is due, and how fast a node can be played to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MOST_DROPPED = 0.01
"""Share of the images below which a node keeps up."""

NEAR_ENOUGH = 1.1
"""The highest rate is known when the next one that fails is less than this many times as high."""

SLOWEST, FASTEST = 1 / 64, 64.0
_LONGEST_GAP = 10.0  # s: a recorder that slept, or a clock that was set, is not waited for
_KEPT_PACE = 0.95  # of the rate; below it, it was the player that was too slow
_NS = 1e9


class Pace:
    """Turns times of recording into times of the steady clock.

    Args:
        rate: times as fast as life.
        start: when the first image is due, in seconds of the steady clock.

    Attributes:
        shortened: how many gaps of more than ten seconds were cut to ten.
    """

    def __init__(self, rate: float, start: float) -> None:
        self._rate, self._start = rate, start
        self._last: int | None = None
        self._played = 0.0  # s of the recording
        self.shortened = 0

    @property
    def played(self) -> float:
        """Seconds of the recording up to the newest image."""
        return self._played

    def due(self, received: int) -> float:
        """When an image that was recorded at ``received`` ns is due; never before the last one."""
        gap = 0.0 if self._last is None else max(0.0, (received - self._last) / _NS)
        self.shortened += gap > _LONGEST_GAP
        self._played += min(gap, _LONGEST_GAP)
        self._last = received if self._last is None else max(received, self._last)
        return self._start + self._played / self._rate


@dataclass(frozen=True)
class Trial:
    """What came of playing at one rate.

    Attributes:
        rate: asked for, times as fast as life.
        achieved: what the player came to.
        published, dropped: images.
    """

    rate: float
    achieved: float
    published: int
    dropped: int

    @property
    def drop_rate(self) -> float:
        """Share of the images that were not answered."""
        return self.dropped / self.published if self.published else 0.0

    @property
    def kept_pace(self) -> bool:
        """Whether the player was fast enough for this to say something of the node."""
        return self.achieved >= _KEPT_PACE * self.rate

    @property
    def holds(self) -> bool:
        """Whether the node kept up."""
        return self.kept_pace and self.drop_rate < MOST_DROPPED


def highest_rate(play: Callable[[float], Trial]) -> tuple[float, list[Trial]]:
    """Search the highest rate at which a node keeps up: by doubling, then by halving the gap.

    Args:
        play: plays at a rate.

    Returns:
        The rate, 0 if even the slowest is too fast; and every trial.
    """
    trials = [play(1.0)]
    good, bad = (1.0, 0.0) if trials[0].holds else (0.0, 1.0)
    while good and not bad and good < FASTEST:
        trials.append(play(2 * good))
        good, bad = (2 * good, 0.0) if trials[-1].holds else (good, 2 * good)
    while not good and bad > SLOWEST:
        trials.append(play(bad / 2))
        good, bad = (bad / 2, bad) if trials[-1].holds else (0.0, bad / 2)
    while good and bad > NEAR_ENOUGH * good:
        middle = (good * bad) ** 0.5
        trials.append(play(middle))
        good, bad = (middle, bad) if trials[-1].holds else (good, middle)
    return good, trials
