"""A recording played to the running node as fast as life, or faster: what it answers, and drops.

    Frame --when it is due--> face_attributes --FaceAttributesArray--> Ledger --> answered, dropped
      /clock

Nothing waits for the node here: what it does not answer is lost, as on a robot. Stamps are those of
the recording, so its answers can still be judged; dropped images are neither right nor wrong.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from fsb_perception.config import PerceptionConfig
from fsb_perception.images.messages import ConversionError
from fsb_perception.options import OptionError
from fsb_perception.problems import Problems
from fsb_perception.replay.answering import Answered, Clock, Timing
from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.bags.reader import Bag, Frame
from fsb_perception.replay.bags.topics import ImageTopic
from fsb_perception.replay.rows import Row, dropped_row, failed_row
from fsb_perception.replay.running.ledger import Ledger, Sent
from fsb_perception.replay.running.pace import FASTEST, SLOWEST, Pace, Trial, highest_rate
from fsb_perception.ros.launching.processes import NodeProcess
from fsb_perception.ros.playing.node import ThroughNode, ended, played_node

if TYPE_CHECKING:
    from fsb_perception.ros.playing.player import Player

SEARCH = "search"
_ANSWER_LIMIT = 10.0  # s after which an image is given up
_TICK = 0.02  # s between two times told on /clock
_TRIAL = 600  # images of one trial of a search


class Realtime(ThroughNode):
    """Has images answered by the node itself; see `fsb_perception.replay.answering.Answering`.

    Args:
        config: the node's parameters.
        rate: times as fast as life, or "search" for the highest at which it keeps up.

    Raises:
        OptionError: a rate that cannot be played.
        BundleError: the bundle cannot be read.
    """

    def __init__(self, config: PerceptionConfig, rate: str = "1") -> None:
        super().__init__(config)
        self._rate = None if rate == SEARCH else _number(rate)
        self.mode = f"realtime x {self._rate:g}" if self._rate else f"realtime {SEARCH}"

    def answers(self, bag: Bag, topics: Sequence[ImageTopic]) -> Answered:
        """Start a node, play it the images when they are due, and end it."""
        rate, found = (self._rate, {}) if self._rate else self._search(bag, topics)
        with self._played(topics, sim_time=True) as (player, node):
            play = _Play(player, node, bag.problems, rate)
            yield from play.answers(bag, topics)
        self.facts = {"play": {**_told(play.trial), **found}}

    def _search(self, bag: Bag, topics: Sequence[ImageTopic]) -> tuple[float, dict[str, Any]]:
        """The rate to play at, and what led to it; with a node of its own, which then has ended."""
        with played_node(self._config, topics, sim_time=True) as (player, node):
            rate, trials = highest_rate(lambda r: _trial(bag, topics, player, node, r))
        told = {"highest_rate": rate, "trials": [_told(trial) for trial in trials]}
        return rate or SLOWEST, told


def _number(rate: str) -> float:
    try:
        number = float(rate)
    except ValueError:
        number = 0.0
    if not SLOWEST <= number <= FASTEST:
        raise OptionError(
            f"rate: got {rate!r}, must be a number from {SLOWEST:g} to {FASTEST:g}, "
            f"times as fast as life, or {SEARCH!r} for the highest at which the node keeps up"
        )
    return number


def _trial(
    bag: Bag, topics: Sequence[ImageTopic], player: Player, node: NodeProcess, rate: float
) -> Trial:
    """Play the beginning of a recording, for its count of drops alone."""
    play = _Play(player, node, Problems(), rate)
    for _ in play.answers(Bag(bag.path), topics, most=_TRIAL):
        pass
    return play.trial


def _told(trial: Trial) -> dict[str, Any]:
    return {
        **asdict(trial),
        "answered": trial.published - trial.dropped,
        "drop_rate": trial.drop_rate,
        "kept_pace": trial.kept_pace,
    }


class _Play:
    """One playing of a recording at one rate."""

    def __init__(self, player: Player, node: NodeProcess, problems: Problems, rate: float) -> None:
        self._player, self._node, self._problems, self._rate = player, node, problems, rate
        self._ledger = Ledger(_ANSWER_LIMIT)
        self._published = self._dropped = 0
        self._pace = Pace(rate, time.monotonic())
        self._lasted = 0.0

    def answers(self, bag: Bag, topics: Sequence[ImageTopic], most: int | None = None) -> Answered:
        """What became of each image, in the order of recording."""
        clock, begun = Clock(self._problems), time.monotonic()
        self._pace = Pace(self._rate, begun)
        for frame in islice(bag.frames(topics), most):
            clock.see(frame.topic.camera, frame.stamp)
            self._listen(self._pace.due(frame.received), frame.received)
            self._publish(frame)
            yield from self._settled()
        self._lasted = time.monotonic() - begun
        yield from self._last_ones()
        if self._pace.shortened:
            many = f"{self._pace.shortened} played as ten"
            self._problems.note("gap of more than ten seconds", many)

    @property
    def trial(self) -> Trial:
        """What came of it."""
        achieved = self._pace.played / self._lasted if self._pace.played else self._rate
        return Trial(self._rate, min(achieved, self._rate), self._published, self._dropped)

    def _publish(self, frame: Frame) -> None:
        if self._node.status is not None:
            raise BagError(ended(self._node))
        self._player.publish(frame)
        self._player.tell_time(frame.received)
        self._ledger.send(frame, time.monotonic())
        self._published += 1

    def _listen(self, due: float, received: int) -> None:
        """Hear answers until an image is due, and tell the time meanwhile."""
        self._hear(0.0)
        while (left := due - time.monotonic()) > 0:
            self._player.tell_time(received - int(left * self._rate * 1e9))
            self._hear(min(due, time.monotonic() + _TICK))

    def _last_ones(self) -> Answered:
        """Wait for what is still on its way; what does not come is dropped."""
        end = time.monotonic() + _ANSWER_LIMIT
        while len(self._ledger) and time.monotonic() < end:
            self._hear(time.monotonic() + _TICK)
            yield from self._settled()
        yield from self._settled(end + _ANSWER_LIMIT)

    def _hear(self, until: float) -> None:
        while heard := self._player.hear(until):
            self._ledger.hear(heard.answer.camera, heard.stamp, heard, heard.at)

    def _settled(self, now: float | None = None) -> Iterator[tuple[Row, Timing]]:
        for sent in self._ledger.settled(time.monotonic() if now is None else now):
            row, timing = self._row(sent)
            self._dropped += "dropped" in row
            yield row, timing

    def _row(self, sent: Sent) -> tuple[Row, Timing]:
        camera, stamp = sent.frame.topic.camera, sent.frame.stamp
        if (heard := sent.answer) is not None:
            took = float(heard.answer.process_time)
            return heard.row(), Timing(camera, stamp, 0.0, took, sent.wait)
        nothing = Timing(camera, stamp, 0.0, 0.0)
        try:
            sent.frame.decode()
        except ConversionError as error:  # the node could not have answered it
            where = f"{sent.frame.topic.name} at {stamp} ns"
            self._problems.note("image that cannot be decoded", f"{where}: {error}")
            return failed_row(camera, stamp, str(error)), nothing
        return dropped_row(camera, stamp), nothing
