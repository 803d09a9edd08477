"""A ROS node that plays a recording: it publishes the images and receives the answers."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from builtin_interfaces.msg import Time
from rclpy.context import Context
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from fsb_perception.msg import FaceAttributesArray
from fsb_perception.replay.bags.reader import Frame
from fsb_perception.replay.bags.topics import COMPRESSED, RAW, ImageTopic
from fsb_perception.replay.rows import Row, frame_row
from fsb_perception.ros.camera_input import camera_topic
from fsb_perception.ros.messages import faces_of, to_nanoseconds
from fsb_perception.ros.qos import CLOCK_QOS, FACES_QOS, IMAGE_QOS
from fsb_perception.ros.spinning import spinning_alone

_TYPES = {RAW: (Image, "image"), COMPRESSED: (CompressedImage, "image/compressed")}
_FACES = "face_attributes/faces"
_SECOND = 1_000_000_000  # ns


class ReceivedAnswer(NamedTuple):
    """An answer of the node, and the time of its arrival in seconds of the steady clock."""

    array: FaceAttributesArray
    arrival: float

    @property
    def stamp(self) -> int:
        """Stamp of the answered image, in nanoseconds."""
        return to_nanoseconds(self.array.header.stamp)

    @property
    def process_time(self) -> float:
        """Time that the node took to process the image, in seconds."""
        return float(self.array.process_time)

    def row(self) -> Row:
        """Return the answer as a line of results.jsonl."""
        size = (int(self.array.width), int(self.array.height))
        return frame_row(self.array.camera, self.stamp, size, faces_of(self.array))


class Player(Node):
    """Publishes images byte for byte as they were recorded, and receives their answers.

    Args:
        namespace: of the node that answers.
        topics: of the recording. The images of each camera go to the node's own topic for it.
        context: of ROS.
        clock: the player also publishes ``/clock``.
    """

    def __init__(
        self, namespace: str, topics: Sequence[ImageTopic], context: Context, clock: bool = False
    ) -> None:
        super().__init__("replay", namespace=namespace, context=context)
        self._answers: queue.SimpleQueue[ReceivedAnswer] = queue.SimpleQueue()
        self._images = {}
        for topic in topics:
            message, name = _TYPES[topic.type]
            self._images[topic.name] = self.create_publisher(
                message, camera_topic(topic.camera, name), IMAGE_QOS
            )
        if clock:
            self._time = self.create_publisher(Clock, "/clock", CLOCK_QOS)
        self.create_subscription(FaceAttributesArray, _FACES, self._receive, FACES_QOS)

    def is_connected(self) -> bool:
        """Return whether the node subscribes to every camera, and its answers can be received."""
        images = all(image.get_subscription_count() for image in self._images.values())
        return images and self.count_publishers(_FACES) > 0

    def publish(self, frame: Frame) -> None:
        """Publish an image."""
        self._images[frame.topic.name].publish(frame.data)

    def next_answer(self, deadline: float) -> ReceivedAnswer | None:
        """Return the next answer; None if none comes until ``deadline`` s of the steady clock."""
        try:
            return self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return None

    def ask(self, frame: Frame, seconds: float) -> ReceivedAnswer | None:
        """Publish an image and wait for its answer; None if none comes within ``seconds``."""
        self.publish(frame)
        deadline = time.monotonic() + seconds
        while answer := self.next_answer(deadline):
            if (answer.array.camera, answer.stamp) == (frame.topic.camera, frame.stamp):
                return answer
            # Any other is a late answer to an image whose time is over.
        return None

    def publish_time(self, nanoseconds: int) -> None:
        """Publish the time of the recording on ``/clock``, as ``ros2 bag play --clock`` does."""
        seconds, rest = divmod(max(0, nanoseconds), _SECOND)
        self._time.publish(Clock(clock=Time(sec=seconds, nanosec=rest)))

    def _receive(self, array: FaceAttributesArray) -> None:
        self._answers.put(ReceivedAnswer(array, time.monotonic()))


def playing(
    namespace: str, topics: Sequence[ImageTopic], clock: bool = False
) -> AbstractContextManager[Player]:
    """Return a context manager: a `Player` that receives in a thread until the block is left."""
    return spinning_alone(lambda context: Player(namespace, topics, context, clock))
