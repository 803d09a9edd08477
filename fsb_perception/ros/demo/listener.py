"""The demo's own ROS node: it subscribes to the answers and, at the end, to the images."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager

from rclpy.context import Context
from rclpy.node import Node
from sensor_msgs.msg import Image

from fsb_perception.images.messages import image_to_bgr
from fsb_perception.msg import FaceAttributesArray
from fsb_perception.ros.demo.tally import Summary, Tally
from fsb_perception.ros.messages import faces_of
from fsb_perception.ros.pairing import Pair, Pairing
from fsb_perception.ros.qos import FACES_QOS, IMAGE_QOS
from fsb_perception.ros.spinning import spinning_alone
from fsb_perception.types import FaceAttributes
from fsb_perception.types import Image as Picture


class Listener(Node):
    """Counts the node's answers; its methods may be called from another thread.

    Args:
        namespace: of the demo's nodes.
        context: of ROS.
    """

    def __init__(self, namespace: str, context: Context) -> None:
        super().__init__("demo", namespace=namespace, context=context)
        self._lock = threading.Lock()
        self._tally = Tally()
        self._pairing: Pairing | None = None
        self._pair: Pair | None = None
        self._paired = threading.Event()
        self.create_subscription(
            FaceAttributesArray, "face_attributes/faces", self._on_faces, FACES_QOS
        )

    def _on_faces(self, message: FaceAttributesArray) -> None:
        arrival = self.get_clock().now().nanoseconds
        with self._lock:
            self._tally.add(message, arrival)
            if self._pairing is not None:
                self._keep(self._pairing.add_answer(message))

    def _on_image(self, message: Image) -> None:
        with self._lock:
            if self._pairing is not None:
                self._keep(self._pairing.add_image(message))

    def _keep(self, pair: Pair | None) -> None:
        if pair is not None:
            self._pair = pair
            self._paired.set()

    @property
    def processed(self) -> int:
        """Frames that the node has answered."""
        with self._lock:
            return self._tally.processed

    def summary(self) -> Summary:
        """Return the present state of the run."""
        with self._lock:
            return self._tally.summary()

    def cameras(self) -> int:
        """Return the number of programs that publish the image."""
        return self.count_publishers("image")

    def take_picture(self, seconds: float) -> tuple[Picture, list[FaceAttributes]] | None:
        """Wait for the next answered image; return it with its faces, or None if none comes.

        Images are subscribed to only here: each has a megabyte, and 30 come in a second.
        """
        with self._lock:
            self._pairing = Pairing()
        subscription = self.create_subscription(Image, "image", self._on_image, IMAGE_QOS)
        try:
            self._paired.wait(seconds)
        finally:
            self.destroy_subscription(subscription)
        with self._lock:
            pair = self._pair
        return pair and (image_to_bgr(pair[0]), faces_of(pair[1]))


def listening(namespace: str) -> AbstractContextManager[Listener]:
    """Return a context manager: a `Listener` that receives in a thread until the block is left."""
    return spinning_alone(lambda context: Listener(namespace, context))
