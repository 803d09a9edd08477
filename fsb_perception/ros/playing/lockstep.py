"""A recording played to the running node image by image: no image is dropped.

    Frame --publish--> face_attributes --FaceAttributesArray--> wait for this stamp, then the next

The node is a process of its own; images and answers go through DDS as on a robot. It takes time
from stamps alone, so its answers do not change when it is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsb_perception.images.messages import ConversionError
from fsb_perception.problems import Problems
from fsb_perception.replay.answering import Answered, Clock, Timing
from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.bags.reader import Bag, Frame
from fsb_perception.replay.bags.topics import ImageTopic
from fsb_perception.replay.rows import Row, failed_row
from fsb_perception.ros.launching.processes import NodeProcess
from fsb_perception.ros.playing.node import ThroughNode, end_of

if TYPE_CHECKING:
    from fsb_perception.ros.playing.player import Player

_ANSWER_LIMIT = 30.0  # s for one image


class Lockstep(ThroughNode):
    """Answers images one by one; see `fsb_perception.replay.answering.Answering`.

    Args, raises: see `ThroughNode`.
    """

    mode: str = "lockstep"

    def answers(self, bag: Bag, topics: Sequence[ImageTopic]) -> Answered:
        """Start a node, play it every image, and stop it."""
        clock = Clock(bag.problems)
        # With one thread the node sums in the same order as the offline mode.
        with self._started(topics, threads=1) as (player, node):
            for frame in bag.frames(topics):
                clock.check(frame.topic.camera, frame.stamp)
                yield self._answer(frame, player, node, bag.problems)

    def _answer(
        self, frame: Frame, player: Player, node: NodeProcess, problems: Problems
    ) -> tuple[Row, Timing]:
        camera, stamp = frame.topic.camera, frame.stamp
        place = f"{frame.topic.name} at {stamp} ns"
        try:
            frame.decode(self._config.decoding)  # the node would only log the error
        except ConversionError as error:
            problems.note("image that cannot be decoded", f"{place}: {error}")
            return failed_row(camera, stamp, str(error)), Timing(camera, stamp, 0.0, 0.0)
        begin = time.monotonic()
        answer = player.ask(frame, _ANSWER_LIMIT)
        wait = time.monotonic() - begin
        if answer is None:
            if node.status is not None:
                raise BagError(end_of(node))
            problems.note("image without an answer", place)
            error_text = f"no answer in {_ANSWER_LIMIT:g} s"
            return failed_row(camera, stamp, error_text), Timing(camera, stamp, 0.0, 0.0, wait)
        return answer.row(), Timing(camera, stamp, 0.0, answer.process_time, wait)
