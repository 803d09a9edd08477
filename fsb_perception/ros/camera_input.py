"""The subscriptions of one camera: its images, in the quality that is offered, and calibration."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from fsb_perception.node_config import NodeConfig
from fsb_perception.ros.logs import Backoff
from fsb_perception.ros.mailbox import Mailboxes, WaitingFrame
from fsb_perception.ros.qos import (
    CAMERA_INFO_QOS,
    keep_last,
    mismatch_text,
    reliability_name,
    wants_reliable,
)

ImageMessage: TypeAlias = Image | CompressedImage

_PUBLISHERS_KEPT = 1024  # a publisher that has not sent for the longest time is forgotten


class CameraInput:
    """Subscriptions that put each image message of a camera into its mailbox, undecoded.

    Args:
        node: that subscribes.
        camera: name of the camera; empty for a single one.
        config: names the topic and its reliability.
        mailboxes: where image messages go.

    Attributes:
        topic: full name of the topic of images.
        reliable: the subscription is reliable; otherwise best effort.
        received: images sent to the topic, as far as the publishers' counts tell.
        last_arrival: of an image, in seconds of the steady clock; before the first one, the time
            of the subscription.
        mismatch: why the images of a publisher cannot come; empty if none is known.
        camera_info: newest calibration, if any came.
    """

    def __init__(
        self, node: Node, camera: str, config: NodeConfig, mailboxes: Mailboxes[ImageMessage]
    ) -> None:
        self._node, self._camera, self._config, self._mailboxes = node, camera, config, mailboxes
        compressed = config.image_transport == "compressed"
        self._type: type[ImageMessage] = CompressedImage if compressed else Image
        self.topic = node.resolve_topic_name(
            camera_topic(camera, "image/compressed" if compressed else "image")
        )
        self._images: Subscription[Any] | None = None
        self._infos: Subscription[CameraInfo] | None = None
        # Sequence number of the newest image, by publisher; the one that sent last is the last.
        self._last_numbers: OrderedDict[str, int] = OrderedDict()
        self._backoff = Backoff()
        self.reliable = False
        self.received = 0
        self.last_arrival = time.monotonic()
        self.mismatch = ""
        self.camera_info: CameraInfo | None = None

    @property
    def is_open(self) -> bool:
        """True while it is subscribed."""
        return self._images is not None

    @property
    def publishers(self) -> list[TopicEndpointInfo]:
        """Publishers of the topic of images."""
        return list(self._node.get_publishers_info_by_topic(self.topic))

    def open(self) -> None:
        """Subscribe, unless that is done already."""
        if self.is_open:
            return
        self.last_arrival = time.monotonic()
        self._subscribe(self._wants_reliable())
        self._infos = self._node.create_subscription(
            CameraInfo, camera_topic(self._camera, "camera_info"), self._keep_info, CAMERA_INFO_QOS
        )

    def close(self) -> None:
        """Unsubscribe."""
        for subscription in (self._images, self._infos):
            if subscription is not None:
                self._node.destroy_subscription(subscription)
        self._images = self._infos = None
        self._last_numbers.clear()

    def follow_publishers(self) -> None:
        """Subscribe again if the publishers now offer another reliability; call it regularly."""
        reliable = self._wants_reliable()
        if self._images is not None and reliable != self.reliable:
            self._node.destroy_subscription(self._images)
            self._subscribe(reliable)
            if self._backoff.is_due("reliability"):
                self._node.get_logger().info(
                    f"{self.topic}: the subscription is {reliability_name(reliable)} from now on"
                )

    def _wants_reliable(self) -> bool:
        return wants_reliable(self._config.image_reliability, self.publishers)

    def _subscribe(self, reliable: bool) -> None:
        self.reliable, self.mismatch = reliable, ""
        on_mismatch: Callable[[Any], None] = self._on_mismatch
        self._images = self._node.create_subscription(
            self._type,
            self.topic,
            self._receive,
            keep_last(1, reliable=reliable),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=on_mismatch),
        )

    def _receive(self, message: ImageMessage, info: Mapping[str, Any]) -> None:
        missed = self._missed(info)
        self.received += 1 + missed
        self._mailboxes.add_replaced(self._camera, missed)
        self.last_arrival = time.monotonic()
        self.mismatch = ""
        self._mailboxes.put(WaitingFrame(self._camera, message, self.last_arrival))

    def _missed(self, info: Mapping[str, Any]) -> int:
        """Count the images of a publisher since its last one: lost on the way, or overwritten.

        With a queue of one, the middleware silently drops each image that the executor does not
        take in time. Only the publisher's sequence numbers show that.
        """
        number = info.get("publication_sequence_number")
        if number is None:
            return 0  # this middleware has no sequence numbers
        publisher = str(info.get("publisher_gid"))
        last = self._last_numbers.get(publisher, number - 1)
        self._last_numbers[publisher] = number
        self._last_numbers.move_to_end(publisher)
        if len(self._last_numbers) > _PUBLISHERS_KEPT:
            self._last_numbers.popitem(last=False)
        return max(number - last - 1, 0)

    def _keep_info(self, message: CameraInfo) -> None:
        self.camera_info = message

    def _on_mismatch(self, event: Any) -> None:
        if self._config.image_reliability == "auto":
            return  # `follow_publishers` changes the subscription within a second, and logs that
        self.mismatch = mismatch_text(
            self.topic, self.reliable, event.last_policy_kind, self.publishers
        )
        if self._backoff.is_due("mismatch"):
            self._node.get_logger().error(self.mismatch)


def is_calibration(info: CameraInfo | None) -> bool:
    """Return whether a message holds a camera matrix of a real lens: finite, focal lengths > 0."""
    if info is None:
        return False
    return all(map(math.isfinite, [*info.k, *info.d])) and info.k[0] > 0 and info.k[4] > 0


def camera_topic(camera: str, name: str) -> str:
    """Return the topic of a camera, relative to the node's namespace; a single one has no name."""
    return f"{camera}/{name}" if camera else name
