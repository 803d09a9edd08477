"""A recording played to the running node, one image at a time: the true node, and no drops.

    Frame --publish--> face_attributes --FaceAttributesArray--> of this camera and stamp? the next

The node is a process of its own, images and answers go through DDS as on a robot. Since it knows
time from stamps alone, waiting for it changes none of its answers.
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
from fsb_perception.ros.playing.node import ThroughNode, ended

if TYPE_CHECKING:
    from fsb_perception.ros.playing.player import Player

_ANSWER_LIMIT = 30.0  # s for one image


class Lockstep(ThroughNode):
    """Has images answered by the node itself; see `fsb_perception.replay.answering.Answering`.

    Args, raises: see `ThroughNode`.
    """

    mode: str = "lockstep"

    def answers(self, bag: Bag, topics: Sequence[ImageTopic]) -> Answered:
        """Start a node, play it every image, and end it."""
        clock = Clock(bag.problems)
        with self._played(topics, threads=1) as (player, node):  # its sums are those of offline
            for frame in bag.frames(topics):
                clock.see(frame.topic.camera, frame.stamp)
                yield _answer(frame, player, node, bag.problems)


def _answer(
    frame: Frame, player: Player, node: NodeProcess, problems: Problems
) -> tuple[Row, Timing]:
    camera, stamp = frame.topic.camera, frame.stamp
    where = f"{frame.topic.name} at {stamp} ns"
    try:
        frame.decode()  # the node would only say so in its log
    except ConversionError as error:
        problems.note("image that cannot be decoded", f"{where}: {error}")
        return failed_row(camera, stamp, str(error)), Timing(camera, stamp, 0.0, 0.0)
    begun = time.monotonic()
    heard = player.ask(frame, _ANSWER_LIMIT)
    waited = time.monotonic() - begun
    if heard is None:
        if node.status is not None:
            raise BagError(ended(node))
        problems.note("image without an answer", where)
        said = f"no answer in {_ANSWER_LIMIT:g} s"
        return failed_row(camera, stamp, said), Timing(camera, stamp, 0.0, 0.0, waited)
    return heard.row(), Timing(camera, stamp, 0.0, float(heard.answer.process_time), waited)
