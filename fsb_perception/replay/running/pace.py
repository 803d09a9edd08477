"""The time at which each image of a recording is due, and the search for a node's highest rate.

A rate is a multiple of the recorded speed: at rate 2 a recording of a minute takes half a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fsb_perception.options import OptionError
from fsb_perception.replay.summary import Play, PlayTrial

MOST_DROPPED = 0.01
"""Share of dropped images below which a node keeps up."""

NEAR_ENOUGH = 1.1
"""The search ends when the next higher rate that fails is less than this many times as high."""

SLOWEST, FASTEST = 1 / 64, 64.0
SEARCH = "search"

_LONGEST_GAP = 10.0  # s: a pause of the recorder, or a clock that was set, is not played in full
_KEPT_PACE = 0.95  # share of the rate below which the player itself was too slow
_NS = 1e9


def parse_rate(text: str) -> float | None:
    """Return the rate that a text names; None for the search of the highest.

    >>> parse_rate("0.5"), parse_rate("search")
    (0.5, None)

    Raises:
        OptionError: the text is neither a rate that can be played nor "search".
    """
    if text == SEARCH:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not SLOWEST <= rate <= FASTEST:
        raise OptionError(
            f"rate: got {text!r}, must be a number from {SLOWEST:g} to {FASTEST:g}, a multiple of "
            f"the recorded speed, or {SEARCH!r} for the highest at which the node keeps up"
        )
    return rate


class Pace:
    """Times of a recording as times of the steady clock.

    >>> pace = Pace(rate=2.0, start=100.0)
    >>> pace.due(5_000_000_000), pace.due(6_000_000_000)
    (100.0, 100.5)

    Args:
        rate: multiple of the recorded speed.
        start: time at which the first image is due, in seconds of the steady clock.

    Attributes:
        shortened: number of gaps of more than ten seconds, which are played as ten.
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
        """Return the time at which an image that was recorded at ``received`` ns is due.

        An image is never due before the one before it.
        """
        gap = 0.0 if self._last is None else max(0.0, (received - self._last) / _NS)
        self.shortened += gap > _LONGEST_GAP
        self._played += min(gap, _LONGEST_GAP)
        self._last = received if self._last is None else max(received, self._last)
        return self._start + self._played / self._rate


@dataclass(frozen=True)
class Trial:
    """The outcome of playing at one rate.

    >>> trial = Trial(rate=1.0, achieved=1.0, published=100, dropped=2)
    >>> trial.drop_rate, trial.holds
    (0.02, False)

    Attributes:
        rate: rate that was asked for.
        achieved: rate that the player reached.
        published, dropped: numbers of images.
    """

    rate: float
    achieved: float
    published: int
    dropped: int

    @property
    def answered(self) -> int:
        """Number of images with an answer."""
        return self.published - self.dropped

    @property
    def drop_rate(self) -> float:
        """Share of the images without an answer, 0 to 1."""
        return self.dropped / self.published if self.published else 0.0

    @property
    def kept_pace(self) -> bool:
        """True if the player was fast enough for the trial to say something about the node."""
        return self.achieved >= _KEPT_PACE * self.rate

    @property
    def holds(self) -> bool:
        """True if the node kept up."""
        return self.kept_pace and self.drop_rate < MOST_DROPPED

    def summary(self) -> PlayTrial:
        """Return the trial as summary.json holds it."""
        return PlayTrial.model_validate(self, from_attributes=True)


Search = tuple[float, list[Trial]]
"""The highest rate at which a node keeps up, 0 if even the slowest is too fast; and every trial."""


def play_summary(trial: Trial, search: Search | None) -> Play:
    """Return the part of the summary about playing a recording.

    Args:
        trial: the whole recording, played at one rate.
        search: the search for that rate; None if the rate was given.
    """
    values = trial.summary().as_json()
    if search is None:
        return Play.model_validate(values)
    rate, trials = search
    parts = [part.summary() for part in trials]
    return Play.model_validate({**values, "highest_rate": rate, "trials": parts})


def highest_rate(play: Callable[[float], Trial]) -> Search:
    """Search the highest rate at which a node keeps up: by doubling, then by halving the gap.

    Args:
        play: plays at a rate.
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
