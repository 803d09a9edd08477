"""A recording played to the running node at its own pace, or at a multiple of it.

    Frame --when it is due--> face_attributes --FaceAttributesArray--> Ledger --> answered, dropped
      /clock

The player does not wait for the node: an image that is not answered is dropped, as on a robot. The
answers keep the stamps of the recording, so they can be judged; dropped images are neither right
nor wrong.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from fsb_perception.config import PerceptionConfig
from fsb_perception.images.decoding import DecodingConfig
from fsb_perception.images.messages import ConversionError
from fsb_perception.problems import Problems
from fsb_perception.replay.answering import Answered, Clock, Timing
from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.bags.reader import Bag, Frame
from fsb_perception.replay.bags.topics import ImageTopic
from fsb_perception.replay.rows import Row, dropped_row, failed_row
from fsb_perception.replay.running.ledger import Ledger, Sent
from fsb_perception.replay.running.pace import (
    SEARCH,
    SLOWEST,
    Pace,
    Search,
    Trial,
    highest_rate,
    parse_rate,
    play_summary,
)
from fsb_perception.ros.launching.processes import NodeProcess
from fsb_perception.ros.playing.node import ThroughNode, end_of, started_node

if TYPE_CHECKING:
    from fsb_perception.ros.playing.player import Player, ReceivedAnswer

_ANSWER_LIMIT = 10.0  # s after which an image counts as dropped
_TICK = 0.02  # s between two messages on /clock
_TRIAL = 600  # images of one trial of a search


class Realtime(ThroughNode):
    """Answers images when they are due; see `fsb_perception.replay.answering.Answering`.

    Args:
        config: parameters of the node.
        rate: multiple of the recorded pace, or "search" for the highest at which the node keeps up.

    Raises:
        OptionError: a rate that cannot be played.
        BundleError: the bundle cannot be read.
    """

    def __init__(self, config: PerceptionConfig, rate: str = "1") -> None:
        super().__init__(config)
        self._rate = parse_rate(rate)
        self.mode = f"realtime x {self._rate:g}" if self._rate else f"realtime {SEARCH}"

    def answers(self, bag: Bag, topics: Sequence[ImageTopic]) -> Answered:
        """Start a node, play it each image when that is due, and stop it."""
        search = None if self._rate else self._search(bag, topics)
        rate = self._rate or (search and search[0]) or SLOWEST
        with self._started(topics, sim_time=True) as (player, node):
            play = _Play(player, node, bag.problems, rate, self._config.decoding)
            yield from play.answers(bag, topics)
        self.play = play_summary(play.trial, search)

    def _search(self, bag: Bag, topics: Sequence[ImageTopic]) -> Search:
        """Search the highest rate with a node of its own, which stops before the playing begins."""
        with started_node(self._config, topics, sim_time=True) as (player, node):
            decoding = self._config.decoding
            return highest_rate(lambda rate: _try(bag, topics, player, node, rate, decoding))


def _try(
    bag: Bag,
    topics: Sequence[ImageTopic],
    player: Player,
    node: NodeProcess,
    rate: float,
    decoding: DecodingConfig,
) -> Trial:
    """Play the beginning of a recording at a rate, only to count the drops."""
    play = _Play(player, node, Problems(), rate, decoding)
    for _ in play.answers(Bag(bag.path), topics, limit=_TRIAL):
        pass
    return play.trial


class _Play:
    """One run through a recording at one rate."""

    def __init__(
        self,
        player: Player,
        node: NodeProcess,
        problems: Problems,
        rate: float,
        decoding: DecodingConfig,
    ) -> None:
        self._player, self._node, self._problems, self._rate = player, node, problems, rate
        self._decoding = decoding
        self._ledger: Ledger[ReceivedAnswer] = Ledger(_ANSWER_LIMIT)
        self._published = self._dropped = 0
        self._pace = Pace(rate, time.monotonic())
        self._seconds = 0.0

    def answers(self, bag: Bag, topics: Sequence[ImageTopic], limit: int | None = None) -> Answered:
        """Yield the row of each image, in the order of recording, of at most ``limit`` images."""
        clock, begin = Clock(self._problems), time.monotonic()
        self._pace = Pace(self._rate, begin)
        for frame in islice(bag.frames(topics), limit):
            clock.check(frame.topic.camera, frame.stamp)
            self._receive_until(self._pace.due(frame.received), frame.received)
            self._publish(frame)
            yield from self._settled()
        self._seconds = time.monotonic() - begin
        yield from self._rest()
        if self._pace.shortened:
            gaps = f"{self._pace.shortened} played as ten"
            self._problems.note("gap of more than ten seconds", gaps)

    @property
    def trial(self) -> Trial:
        """Rate, achieved rate and drops so far."""
        achieved = self._pace.played / self._seconds if self._pace.played else self._rate
        return Trial(self._rate, min(achieved, self._rate), self._published, self._dropped)

    def _publish(self, frame: Frame) -> None:
        if self._node.status is not None:
            raise BagError(end_of(self._node))
        self._player.publish(frame)
        self._player.publish_time(frame.received)
        self._ledger.note_sent(frame, time.monotonic())
        self._published += 1

    def _receive_until(self, due: float, received: int) -> None:
        """Receive answers until an image is due, and publish the time meanwhile."""
        self._receive(0.0)
        while (left := due - time.monotonic()) > 0:
            self._player.publish_time(received - int(left * self._rate * 1e9))
            self._receive(min(due, time.monotonic() + _TICK))

    def _rest(self) -> Answered:
        """Wait for the last answers; images without one are dropped."""
        end = time.monotonic() + _ANSWER_LIMIT
        while len(self._ledger) and time.monotonic() < end:
            self._receive(time.monotonic() + _TICK)
            yield from self._settled()
        yield from self._settled(end + _ANSWER_LIMIT)

    def _receive(self, deadline: float) -> None:
        while answer := self._player.next_answer(deadline):
            self._ledger.note_answer(answer.array.camera, answer.stamp, answer, answer.arrival)

    def _settled(self, now: float | None = None) -> Iterator[tuple[Row, Timing]]:
        for sent in self._ledger.take_settled(time.monotonic() if now is None else now):
            row, timing = self._row(sent)
            self._dropped += "dropped" in row
            yield row, timing

    def _row(self, sent: Sent[ReceivedAnswer]) -> tuple[Row, Timing]:
        camera, stamp = sent.frame.topic.camera, sent.frame.stamp
        if (answer := sent.answer) is not None:
            return answer.row(), Timing(camera, stamp, 0.0, answer.process_time, sent.wait)
        no_time = Timing(camera, stamp, 0.0, 0.0)
        try:
            sent.frame.decode(self._decoding)
        except ConversionError as error:  # the node could not answer it, so it is no drop
            place = f"{sent.frame.topic.name} at {stamp} ns"
            self._problems.note("image that cannot be decoded", f"{place}: {error}")
            return failed_row(camera, stamp, str(error)), no_time
        return dropped_row(camera, stamp), no_time
