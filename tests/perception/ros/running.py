"""The node in this process, with a robot's node that sends images and receives the answers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fsb_perception.msg import FaceAttributesArray
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

from fsb_perception.detection.base import Detector
from fsb_perception.ros import environment
from fsb_perception.ros.conversions import bgr_to_image
from fsb_perception.ros.messages import to_nanoseconds
from fsb_perception.ros.node import FaceAttributesNode
from fsb_perception.ros.spinning import spinning
from fsb_perception.types import Image as Picture
from tests.builders import SECOND, START, frame
from tests.perception.ros.harness import until

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
PICTURE = frame(160, 120)


def header(stamp: int, frame_id: str = "eye") -> Header:
    made = Header(frame_id=frame_id)
    made.stamp.sec, made.stamp.nanosec = divmod(stamp, SECOND)
    return made


def image(number: int, picture: Picture = PICTURE, stamp: int | None = None) -> Image:
    """Image ``number`` of a steady stream at ten a second."""
    return bgr_to_image(picture, header(START + number * SECOND // 10 if stamp is None else stamp))


def stamp_of(message: Any) -> int:
    return to_nanoseconds(message.header.stamp)


class Line:
    """A robot with the node; it keeps everything that the node publishes.

    Attributes:
        node: under test.
        robot: another node, to publish, subscribe and call with.
        arrays: received on ``~/faces``, oldest first.
        diagnostics: received on ``/diagnostics`` from this node.
    """

    def __init__(self, node: FaceAttributesNode, robot: Any, executor: Any) -> None:
        self.node, self.robot, self._executor = node, robot, executor
        self.arrays: list[FaceAttributesArray] = []
        self.diagnostics: list[DiagnosticArray] = []
        self._publishers: dict[tuple[Any, ...], Any] = {}
        self.subscribe(FaceAttributesArray, "face_attributes/faces", self.arrays)
        self.subscribe(DiagnosticArray, "/diagnostics", self.diagnostics)

    def subscribe(self, kind: Any, topic: str, into: list[Any], qos: Any = 50) -> Any:
        return self.robot.create_subscription(kind, topic, into.append, qos)

    def step(self, *names: str) -> bool:
        """Run transitions in the executor's thread, as services do; return whether all work."""
        for name in names:
            done = self.run(getattr(self.node, f"trigger_{name}"))
            if done != TransitionCallbackReturn.SUCCESS:
                return False
        return True

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function in the executor's thread, and return its result."""
        future = self._executor.create_task(function, *arguments)
        until(future.done, 60, function)
        return future.result()

    def activate(self) -> Line:
        assert self.step("configure", "activate"), self.node.failure
        return self

    def publisher(
        self,
        topic: str = "image",
        kind: Any = Image,
        reliability: ReliabilityPolicy = RELIABLE,
        wait: bool = True,
    ) -> Any:
        """Return the robot's publisher of a topic; wait until the node subscribes."""
        key = (topic, kind, reliability)
        if key not in self._publishers:
            qos = QoSProfile(depth=50, reliability=reliability)
            self._publishers[key] = self.robot.create_publisher(kind, topic, qos)
        if wait:
            until(self._publishers[key].get_subscription_count, what=f"{topic} has no subscriber")
        return self._publishers[key]

    def ask(self, message: Any, topic: str = "image", count: int = 1) -> FaceAttributesArray:
        """Send an image, wait for ``count`` further answers and return the newest."""
        kind = CompressedImage if isinstance(message, CompressedImage) else Image
        before = len(self.arrays)
        self.publisher(topic, kind).publish(message)
        until(lambda: len(self.arrays) >= before + count, what=lambda: f"no answer on {topic}")
        return self.arrays[-1]

    def send(self, publisher: Any, message: Any) -> None:
        """Publish a message on the node's only camera and wait until it has arrived."""
        before = self.input().received
        publisher.publish(message)
        until(lambda: self.input().received > before, what="not received")

    def input(self) -> Any:
        """Return the subscriptions of the node's only camera."""
        assert self.node.active is not None
        return self.node.active.health()[""].source

    def counts(self) -> Any:
        """Return the counts of the node's only camera."""
        assert self.node.active is not None
        return self.node.active.health()[""].counts

    def await_dropped(self, count: int) -> None:
        """Wait until the node has dropped so many frames of its only camera."""
        active = self.node.active
        assert active is not None
        until(lambda: active.dropped() >= count, what=lambda: f"{active.dropped()} dropped")

    def call(self, name: str, data: bool | None = None) -> Any:
        """Call one of the node's services."""
        kind = Trigger if data is None else SetBool
        client = self.robot.create_client(kind, f"face_attributes/{name}")
        assert client.wait_for_service(10), name
        request = Trigger.Request() if data is None else SetBool.Request(data=data)
        future = client.call_async(request)
        until(future.done, what=name)
        self.robot.destroy_client(client)
        return future.result()

    def status(self, camera: str = "") -> DiagnosticStatus | None:
        """Return the newest diagnostic status of a camera, or of the node."""
        title = self.node.get_fully_qualified_name() + (f": {camera}" if camera else "")
        statuses = [s for array in list(self.diagnostics) for s in array.status if s.name == title]
        return statuses[-1] if statuses else None

    def await_status(self, text: str, level: bytes, camera: str = "") -> DiagnosticStatus:
        """Wait for a diagnostic status whose message has ``text``."""

        def reported() -> bool:
            status = self.status(camera)
            return status is not None and text in status.message and status.level == level

        until(reported, what=lambda: f"{text!r} was not reported: {self.status(camera)}")
        status = self.status(camera)
        assert status is not None
        return status


def parameters(values: dict[str, Any]) -> Sequence[rclpy.parameter.Parameter]:
    return [rclpy.parameter.Parameter(name, value=value) for name, value in values.items()]


@contextlib.contextmanager
def running(namespace: str, *, detector: Detector | None = None, **values: Any) -> Iterator[Line]:
    """Run the unconfigured node and its robot in a namespace; ``__`` in a name stands for a dot."""
    os.environ.update(environment.prefixes(os.environ))
    context = rclpy.Context()
    rclpy.init(context=context)
    options = {name.replace("__", "."): value for name, value in values.items()}
    node = FaceAttributesNode(
        detector=detector,
        context=context,
        namespace=namespace,
        parameter_overrides=parameters(options),
    )
    robot = rclpy.create_node("robot", context=context, namespace=namespace)
    with spinning(node, robot) as executor:
        yield Line(node, robot, executor)


def grey(level: int, width: int = 64, height: int = 48) -> Picture:
    return np.full((height, width, 3), level, np.uint8)
