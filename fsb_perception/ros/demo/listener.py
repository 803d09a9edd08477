"""The demo's own ROS node: hears the answers, and at the end takes one picture with its answer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from fsb_perception.images.messages import image_to_bgr
from fsb_perception.msg import FaceAttributesArray
from fsb_perception.ros.demo.tally import Summary, Tally
from fsb_perception.ros.messages import faces_of
from fsb_perception.ros.pairing import Pairing
from fsb_perception.ros.qos import FACES_QOS, IMAGE_QOS
from fsb_perception.ros.spinning import spinning
from fsb_perception.types import FaceAttributes
from fsb_perception.types import Image as Picture


class Listener(Node):
    """Counts what the node says; safe to ask from another thread.

    Args:
        namespace: of the demo's nodes.
    """

    def __init__(self, namespace: str) -> None:
        super().__init__("demo", namespace=namespace)
        self._lock = threading.Lock()
        self._tally = Tally()
        self._pairing: Pairing | None = None
        self._pair: tuple[Any, Any] | None = None
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

    def _keep(self, pair: tuple[Any, Any] | None) -> None:
        if pair is not None:
            self._pair = pair
            self._paired.set()

    @property
    def processed(self) -> int:
        """Frames the node has answered."""
        with self._lock:
            return self._tally.processed

    def summary(self) -> Summary:
        """The state of the run."""
        with self._lock:
            return self._tally.summary()

    def cameras(self) -> int:
        """How many programs publish the image."""
        return self.count_publishers("image")

    def take_picture(self, seconds: float) -> tuple[Picture, list[FaceAttributes]] | None:
        """The next image that the node answers, with its faces; None if none comes in time.

        Images are heard only now: a megabyte thirty times a second is no small thing to ignore.
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


@contextlib.contextmanager
def listening(namespace: str) -> Iterator[Listener]:
    """A listener whose messages are handled in a thread, until the block is left."""
    # Ctrl-C belongs to the demo, which still has a picture to take.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    listener = Listener(namespace)
    with spinning(listener):
        yield listener
