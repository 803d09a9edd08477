"""What plays a recording to the node: a publisher for each camera, and an ear for the answers."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import rclpy
from builtin_interfaces.msg import Time
from rclpy.context import Context
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from fsb_perception.msg import FaceAttributesArray
from fsb_perception.replay.bags.reader import Frame
from fsb_perception.replay.bags.topics import COMPRESSED, RAW, ImageTopic
from fsb_perception.replay.rows import Row, frame_row
from fsb_perception.ros.messages import faces_of, to_nanoseconds
from fsb_perception.ros.qos import CLOCK_QOS, FACES_QOS, IMAGE_QOS
from fsb_perception.ros.spinning import spinning

_TYPES = {RAW: (Image, "image"), COMPRESSED: (CompressedImage, "image/compressed")}
_FACES = "face_attributes/faces"
_NS = 1_000_000_000


class Heard(NamedTuple):
    """An answer, and when it came in seconds of the steady clock."""

    answer: FaceAttributesArray
    at: float

    @property
    def stamp(self) -> int:
        """Of the image that it answers, in nanoseconds."""
        return to_nanoseconds(self.answer.header.stamp)

    def row(self) -> Row:
        """As a line of results.jsonl."""
        size = (int(self.answer.width), int(self.answer.height))
        return frame_row(self.answer.camera, self.stamp, size, faces_of(self.answer))


class Player(Node):
    """Publishes images as they were recorded, byte for byte, and hears their answers.

    Args:
        namespace: of the node that answers.
        topics: of the recording; each camera's goes to the node's own topic for it.
        context: of ROS.
        clock: whether it will tell the time.
    """

    def __init__(
        self, namespace: str, topics: Sequence[ImageTopic], context: Context, clock: bool = False
    ) -> None:
        super().__init__("replay", namespace=namespace, context=context)
        self._heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._images = {}
        for topic in topics:
            kind, name = _TYPES[topic.type]
            where = f"{topic.camera}/{name}" if topic.camera else name
            self._images[topic.name] = self.create_publisher(kind, where, IMAGE_QOS)
        if clock:
            self._time = self.create_publisher(Clock, "/clock", CLOCK_QOS)
        self.create_subscription(FaceAttributesArray, _FACES, self._hear, FACES_QOS)

    def is_heard(self) -> bool:
        """Whether the node listens to every camera, and can be heard."""
        images = all(image.get_subscription_count() for image in self._images.values())
        return images and self.count_publishers(_FACES) > 0

    def publish(self, frame: Frame) -> None:
        """Publish an image."""
        self._images[frame.topic.name].publish(frame.data)

    def hear(self, until: float) -> Heard | None:
        """The next answer; None if none has come by ``until``, in seconds of the steady clock."""
        try:
            return self._heard.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return None

    def ask(self, frame: Frame, seconds: float) -> Heard | None:
        """Publish an image, and wait for its answer; None if none comes in time."""
        self.publish(frame)
        deadline = time.monotonic() + seconds
        while heard := self.hear(deadline):
            if (heard.answer.camera, heard.stamp) == (frame.topic.camera, frame.stamp):
                return heard
            # Any other comes late, to an image that is no longer waited for.
        return None

    def tell_time(self, nanoseconds: int) -> None:
        """Publish the time of the recording on ``/clock``, as ``ros2 bag play --clock`` does."""
        seconds, rest = divmod(max(0, nanoseconds), _NS)
        self._time.publish(Clock(clock=Time(sec=seconds, nanosec=rest)))

    def _hear(self, answer: FaceAttributesArray) -> None:
        self._heard.put(Heard(answer, time.monotonic()))


@contextlib.contextmanager
def playing(namespace: str, topics: Sequence[ImageTopic], clock: bool = False) -> Iterator[Player]:
    """A player whose answers are heard in a thread, until the block is left."""
    context = Context()  # a new one for each recording: none can begin twice
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        player = Player(namespace, topics, context, clock)
    except BaseException:
        rclpy.try_shutdown(context=context)
        raise
    with spinning(player):
        yield player
