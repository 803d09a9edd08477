"""One camera's subscriptions: images in whatever quality its publishers offer, and calibration."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from fsb_perception.node_config import NodeConfig
from fsb_perception.ros.mailbox import Mailboxes, WaitingFrame
from fsb_perception.ros.qos import (
    CAMERA_INFO_QOS,
    keep_last,
    mismatch_text,
    reliability_name,
    wants_reliable,
)

_PUBLISHERS_KEPT = 16


class CameraInput:
    """Puts each image message of a camera into its mailbox, undecoded.

    Args:
        node: that subscribes.
        camera: name of the camera; empty for the only one.
        config: says which topic, and how reliably.
        mailboxes: where images go.

    Attributes:
        received: images sent to this topic since the node was activated, as far as the
            publishers' counts tell.
        last_arrival: of an image, in seconds of the steady clock; when it was opened, before one.
        mismatch: what keeps a publisher from being heard; empty if nothing does.
        camera_info: newest calibration, if any came.
    """

    def __init__(
        self, node: Node, camera: str, config: NodeConfig, mailboxes: Mailboxes[Any]
    ) -> None:
        self._node, self._camera, self._config, self._mailboxes = node, camera, config, mailboxes
        compressed = config.image_transport == "compressed"
        self._type: type[Any] = CompressedImage if compressed else Image
        self.topic = node.resolve_topic_name(
            _topic(camera, "image/compressed" if compressed else "image")
        )
        self._images: Subscription | None = None
        self._infos: Subscription | None = None
        self._heard: dict[str, int] = {}  # newest image of each publisher, by its own count
        self.reliable = False
        self.received = 0
        self.last_arrival = time.monotonic()
        self.mismatch = ""
        self.camera_info: CameraInfo | None = None

    def open(self) -> None:
        """Subscribe, unless it does; `follow_publishers` then follows who comes and changes."""
        if self.is_open:
            return
        self.last_arrival = time.monotonic()
        self._subscribe(wants_reliable(self._config.image_reliability, self._publishers()))
        self._infos = self._node.create_subscription(
            CameraInfo, _topic(self._camera, "camera_info"), self._keep_info, CAMERA_INFO_QOS
        )

    @property
    def is_open(self) -> bool:
        """Whether it listens."""
        return self._images is not None

    def close(self) -> None:
        """Stop listening."""
        for subscription in (self._images, self._infos):
            if subscription is not None:
                self._node.destroy_subscription(subscription)
        self._images = self._infos = None
        self._heard.clear()

    def follow_publishers(self) -> None:
        """Subscribe anew where the publishers now offer something else; call it now and then."""
        reliable = wants_reliable(self._config.image_reliability, self._publishers())
        if self._images is not None and reliable != self.reliable:
            self._node.destroy_subscription(self._images)
            self._subscribe(reliable)
            self._node.get_logger().info(
                f"{self.topic}: the subscription is {reliability_name(reliable)} from now on"
            )

    @property
    def publishers(self) -> int:
        """How many publishers the topic has."""
        return len(self._publishers())

    def _publishers(self) -> list[Any]:
        return list(self._node.get_publishers_info_by_topic(self.topic))

    def _subscribe(self, reliable: bool) -> None:
        self.reliable, self.mismatch = reliable, ""
        handler: Callable[[Any], None] = self._on_mismatch
        self._images = self._node.create_subscription(
            self._type,
            self.topic,
            self._receive,
            keep_last(1, reliable=reliable),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=handler),
        )

    def _receive(self, message: Any, info: Any) -> None:
        missed = self._missed(info)
        self.received += 1 + missed
        self._mailboxes.add_replaced(self._camera, missed)
        self.last_arrival = time.monotonic()
        self.mismatch = ""
        self._mailboxes.put(WaitingFrame(self._camera, message, self.last_arrival))

    def _missed(self, info: Mapping[str, Any]) -> int:
        """Images of this publisher since the last one heard: lost on the way, or overwritten.

        With a queue of one, the middleware drops in silence what the executor does not fetch in
        time; only the publisher's own count tells.
        """
        number = info.get("publication_sequence_number")
        if number is None:
            return 0  # this middleware does not say
        publisher = str(info.get("publisher_gid"))
        last = self._heard.get(publisher, number - 1)
        if len(self._heard) >= _PUBLISHERS_KEPT and publisher not in self._heard:
            self._heard.clear()
        self._heard[publisher] = number
        return max(number - last - 1, 0)

    def _keep_info(self, message: CameraInfo) -> None:
        self.camera_info = message

    def _on_mismatch(self, event: Any) -> None:
        if self._config.image_reliability == "auto":
            return  # `follow_publishers` changes over within a second, and says so
        self.mismatch = mismatch_text(
            self.topic, self.reliable, event.last_policy_kind, self._publishers()
        )
        self._node.get_logger().error(self.mismatch)


def _topic(camera: str, name: str) -> str:
    return f"{camera}/{name}" if camera else name
