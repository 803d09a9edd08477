"""What plays a recording to the node: a publisher for each camera, and an ear for the answers."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator, Sequence

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image

from fsb_perception.msg import FaceAttributesArray
from fsb_perception.replay.bags import COMPRESSED, RAW, Frame, ImageTopic
from fsb_perception.ros.qos import FACES_QOS
from fsb_perception.ros.reading import to_nanoseconds
from fsb_perception.ros.spinning import spinning

_TYPES = {RAW: (Image, "image"), COMPRESSED: (CompressedImage, "image/compressed")}
# Reliable, or a lost image would be waited for in vain.
_IMAGE_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.RELIABLE
)
_FACES = "face_attributes/faces"


class Player(Node):
    """Publishes images as they were recorded, byte for byte, and waits for their answers.

    Args:
        namespace: of the node that answers.
        topics: of the recording; each camera's goes to the node's own topic for it.
        context: of ROS; its default one if not said.
    """

    def __init__(
        self, namespace: str, topics: Sequence[ImageTopic], context: Context | None = None
    ) -> None:
        super().__init__("replay", namespace=namespace, context=context)
        self._answers: queue.SimpleQueue[FaceAttributesArray] = queue.SimpleQueue()
        self._images = {}
        for topic in topics:
            kind, name = _TYPES[topic.type]
            where = f"{topic.camera}/{name}" if topic.camera else name
            self._images[topic.name] = self.create_publisher(kind, where, _IMAGE_QOS)
        self.create_subscription(FaceAttributesArray, _FACES, self._answers.put, FACES_QOS)

    def is_heard(self) -> bool:
        """Whether the node listens to every camera, and can be heard."""
        images = all(image.get_subscription_count() for image in self._images.values())
        return images and self.count_publishers(_FACES) > 0

    def ask(self, frame: Frame, seconds: float) -> FaceAttributesArray | None:
        """Publish an image, and wait for its answer; None if none comes in time."""
        self._images[frame.topic.name].publish(frame.data)
        deadline = time.monotonic() + seconds
        with contextlib.suppress(queue.Empty):
            while (left := deadline - time.monotonic()) > 0:
                answer = self._answers.get(timeout=left)
                stamp = to_nanoseconds(answer.header.stamp)
                if (answer.camera, stamp) == (frame.topic.camera, frame.stamp):
                    return answer  # any other comes late, to an image that is no longer waited for
        return None


@contextlib.contextmanager
def playing(namespace: str, topics: Sequence[ImageTopic]) -> Iterator[Player]:
    """A player whose answers are heard in a thread, until the block is left."""
    context = Context()  # a new one for each recording: none can begin twice
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        player = Player(namespace, topics, context)
    except BaseException:
        rclpy.try_shutdown(context=context)
        raise
    with spinning(player):
        yield player
