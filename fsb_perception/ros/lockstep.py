"""A recording played to the running node, one image at a time: the true node, and no drops.

    Frame --publish--> face_attributes --FaceAttributesArray--> of this camera and stamp? the next

The node is a process of its own, images and answers go through DDS as on a robot. Since it knows
time from stamps alone, waiting for it changes none of its answers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fsb_perception.bundle import load_bundle
from fsb_perception.config import PerceptionConfig
from fsb_perception.decoding import ConversionError
from fsb_perception.options import walk
from fsb_perception.replay.bags import COMPRESSED, Bag, BagError, Frame, ImageTopic
from fsb_perception.replay.offline import Answered, Clock, Timing, reported_tasks
from fsb_perception.replay.problems import Problems
from fsb_perception.replay.rows import Row, failed_row, frame_row
from fsb_perception.ros import environment
from fsb_perception.ros.graph import NodeSpec
from fsb_perception.ros.processes import NodeProcess, NodeProcesses

if TYPE_CHECKING:
    from fsb_perception.msg import FaceAttributesArray
    from fsb_perception.ros.player import Player

_START_LIMIT = 180.0  # s until the node listens; loading torch from a slow disc takes its time
_ANSWER_LIMIT = 30.0  # s for one image
_LOG_LINES = 12  # of a node that failed
_NODE = "face_attributes"


class Lockstep:
    """Has images answered by the node itself; see `fsb_perception.replay.offline.Answering`.

    Args:
        config: the node's parameters.

    Raises:
        BundleError: the bundle cannot be read.
    """

    mode: str = "lockstep"

    def __init__(self, config: PerceptionConfig) -> None:
        bundle = load_bundle(config.bundle)
        self._config = config
        self.bundle_id = bundle.bundle_id
        self.tasks: Sequence[str] = reported_tasks(bundle, config)

    def answers(self, bag: Bag, topics: Sequence[ImageTopic]) -> Answered:
        """Start a node, play it every image, and end it."""
        clock = Clock(bag.problems)
        with _playing(self._config, topics) as (player, node):
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
    message = player.ask(frame, _ANSWER_LIMIT)
    waited = time.monotonic() - begun
    if message is None:
        if node.status is not None:
            raise BagError(_ended(node))
        problems.note("image without an answer", where)
        said = f"no answer in {_ANSWER_LIMIT:g} s"
        return failed_row(camera, stamp, said), Timing(camera, stamp, 0.0, 0.0, waited)
    return _row(message, stamp), Timing(camera, stamp, 0.0, float(message.process_time), waited)


def _row(message: FaceAttributesArray, stamp: int) -> Row:
    from fsb_perception.ros.reading import faces_of

    size = (int(message.width), int(message.height))
    return frame_row(message.camera, stamp, size, faces_of(message))


@contextmanager
def _playing(
    config: PerceptionConfig, topics: Sequence[ImageTopic]
) -> Iterator[tuple[Player, NodeProcess]]:
    """A node that listens, and what publishes to it."""
    namespace = f"fsb_replay_{os.getpid()}"
    variables, _ = environment.children(os.environ, processes=2)
    # With one thread sums are those of the offline mode.
    variables |= dict.fromkeys(("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1")
    os.environ.update(variables)
    spec = NodeSpec(
        _NODE, "fsb_perception.ros.node", namespace, parameters=_parameters(config, topics)
    )
    # Loaded only now: the transport reads its variables when it is loaded.
    from fsb_perception.ros.player import playing

    with NodeProcesses([spec], variables) as processes:
        node = processes[_NODE]
        with playing(namespace, topics) as player:
            _wait_until_heard(player, node)
            yield player, node


def _parameters(config: PerceptionConfig, topics: Sequence[ImageTopic]) -> Mapping[str, Any]:
    cameras = [topic.camera for topic in topics]
    if len(cameras) > 1 and "" in cameras:
        raise BagError(
            "a topic without a camera's name, such as /image, cannot be one of several: "
            "choose with --topic"
        )
    kinds = {topic.type for topic in topics}
    if len(kinds) > 1:
        raise BagError("raw and compressed topics cannot be mixed in lockstep: choose with --topic")
    changed = {
        option.name: list(value) if isinstance(value, tuple) else value
        for option in walk(PerceptionConfig)
        if (value := _value(config, option.name)) != option.default
    }
    return changed | {
        **({"cameras": cameras} if any(cameras) else {}),
        "image_transport": "compressed" if kinds == {COMPRESSED} else "raw",
        "image_reliability": "reliable",
        "id_prefix": "face",
    }


def _value(config: Any, name: str) -> Any:
    for part in name.split("."):
        config = getattr(config, part)
    return config


def _wait_until_heard(player: Player, node: NodeProcess) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while not player.is_heard():
        if node.status is not None:
            raise BagError(_ended(node))
        if time.monotonic() > deadline:
            raise BagError(f"the node does not listen after {_START_LIMIT:g} s")
        time.sleep(0.05)


def _ended(node: NodeProcess) -> str:
    lines = "\n  ".join(node.last_lines(_LOG_LINES))
    return f"the node ended with status {node.status}; its last words:\n  {lines}"
