"""The topics that the node publishes: ~/faces, ~/bundle_info and, if asked for, debug images."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage

from fsb_perception.bundles.bundle import Bundle
from fsb_perception.msg import BundleInfo, FaceAttributesArray
from fsb_perception.node_config import NodeConfig
from fsb_perception.ros.debug_image import debug_image
from fsb_perception.ros.messages import array_to_msg, bundle_to_msg
from fsb_perception.ros.qos import BUNDLE_INFO_QOS, FACES_QOS, IMAGE_QOS
from fsb_perception.ros.worker import Answer


class Outputs:
    """Publishers of a configured node. It publishes the description of the bundle at once.

    Args:
        node: that publishes.
        config: its options.
        bundle: the weights in use.

    Attributes:
        debug_width: largest width of debug images, in px.
    """

    def __init__(self, node: Node, config: NodeConfig, bundle: Bundle) -> None:
        self._node = node
        self._bundle_id = bundle.bundle_id
        self._publishers: list[Publisher[Any]] = []
        self.debug_width = config.debug_width
        self._faces = self._create(FaceAttributesArray, "~/faces", FACES_QOS)
        self._debug_images = {
            camera: self._create(CompressedImage, _debug_topic(camera), IMAGE_QOS)
            for camera in (config.cameras or ("",) if config.debug_image else ())
        }
        now = node.get_clock().now().nanoseconds
        bundle_info = self._create(BundleInfo, "~/bundle_info", BUNDLE_INFO_QOS)
        bundle_info.publish(bundle_to_msg(bundle, now, config.tasks))

    @property
    def topic(self) -> str:
        """Full name of the topic ~/faces."""
        return str(self._faces.topic_name)

    def publish(self, answer: Answer) -> None:
        """Publish the faces of an image and, while someone subscribes, the annotated image."""
        message = array_to_msg(
            answer.faces,
            answer.header,
            camera=answer.camera,
            width=answer.image.shape[1],
            height=answer.image.shape[0],
            sequence=answer.sequence,
            dropped=answer.dropped,
            wait_time=answer.wait_time,
            process_time=answer.process_time,
            bundle_id=self._bundle_id,
        )
        self._faces.publish(message)
        publisher = self._debug_images.get(answer.camera)
        if publisher is not None and publisher.get_subscription_count():
            publisher.publish(
                debug_image(answer.image, answer.faces, answer.header, self.debug_width)
            )

    def close(self) -> None:
        """Destroy the publishers."""
        while self._publishers:
            self._node.destroy_publisher(self._publishers.pop())

    def _create(self, message: type[Any], topic: str, qos: QoSProfile) -> Publisher[Any]:
        publisher: Publisher[Any] = self._node.create_publisher(message, topic, qos)
        self._publishers.append(publisher)
        return publisher


def _debug_topic(camera: str) -> str:
    name = "debug_image/compressed"
    return f"~/{camera.strip('/')}/{name}" if camera else f"~/{name}"
