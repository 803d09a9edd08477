"""``perception.launch.py``'s nodes beside a robot's camera that knows nothing of our transport."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from fsb_perception.msg import FaceAttributesArray

from fsb_perception.ros import environment
from fsb_perception.ros.launching.graph import GRAPHS, NodeSpec
from fsb_perception.ros.launching.processes import NodeProcesses
from fsb_perception.ros.messages import to_nanoseconds
from tests.bundles import random_bundle
from tests.perception.ros.harness import spinning_node, until

# A driver as robots have them: its own names, its own quality of service, no profile.
DRIVER = """
import sys, time
import cv2, rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from fsb_perception.samples.clip import Clip

topic, reliability, width, height = sys.argv[1:5]
rclpy.init()
node = rclpy.create_node("driver")
qos = QoSProfile(depth=5, reliability=ReliabilityPolicy[reliability])
publisher = node.create_publisher(Image, topic, qos)
clip, index = Clip("steady"), 0
while True:
    picture = cv2.resize(clip.frame(index), (int(width), int(height)))
    image = Image(height=picture.shape[0], width=picture.shape[1], encoding="bgr8")
    image.step = 3 * image.width
    image.header.stamp = node.get_clock().now().to_msg()
    image.header.frame_id = topic
    image.data.frombytes(picture.tobytes())
    publisher.publish(image)
    index += 1
    time.sleep(0.06)
"""


class Driver(NodeSpec):
    """A program that is started as a node is."""

    def command(self, python: str = sys.executable) -> list[str]:
        return [python, "-c", DRIVER, *self.parameters["words"]]


def driver(name: str, topic: str, *words: str) -> Driver:
    return Driver(name, "", parameters={"words": (topic, *words)})


SMALL = ("320", "240")  # fits into a segment of the default transport
VGA = ("640", "480")  # does not

CASES = [
    pytest.param(
        {"namespace": "robot", "image": "/head/rgb"},
        [("/head/rgb", "RELIABLE", *VGA)],
        {"": "/head/rgb"},
        id="reliable VGA driver, remapped",
    ),
    pytest.param(
        {"namespace": "robot", "image": "/head/rgb"},
        [("/head/rgb", "BEST_EFFORT", *SMALL)],
        {"": "/head/rgb"},
        id="best-effort small driver, remapped",
        marks=pytest.mark.nightly,  # the two drivers have one that is reliable, and one like this
    ),
    pytest.param(
        {"namespace": "robot/upper", "cameras": "front,rear"},
        [
            ("/robot/upper/front/image", "RELIABLE", *VGA),
            ("/robot/upper/rear/image", "BEST_EFFORT", *SMALL),
        ],
        {"front": "/robot/upper/front/image", "rear": "/robot/upper/rear/image"},
        id="two drivers, namespaced",
    ),
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(random_bundle(tmp_path_factory.mktemp("bundle")).folder)


@pytest.mark.parametrize(("values", "drivers", "frames"), CASES)
def test_attributes_come_from_every_camera(
    values: dict[str, str], drivers: list[tuple[str, ...]], frames: dict[str, str], bundle: str
) -> None:
    plain = {k: v for k, v in os.environ.items() if k not in environment.PROFILE_VARIABLES}
    (spec,) = GRAPHS["perception"].nodes(bundle=bundle, device="cpu", **values)
    robot = [driver(f"driver{index}", *words) for index, words in enumerate(drivers)]
    answers: list[FaceAttributesArray] = []

    def complete() -> bool:
        per_camera = {name: [a for a in answers if a.camera == name] for name in frames}
        return all(len(some) >= 8 and len(some[-1].faces) >= 3 for some in per_camera.values())

    with spinning_node("perception_test") as subscriber:
        subscriber.create_subscription(
            FaceAttributesArray, f"{spec.full_name}/faces", answers.append, 10
        )
        with (
            NodeProcesses(robot, environment.children(plain)[0] | unprofiled()),
            NodeProcesses([spec], environment.children(plain)[0]) as node,
        ):
            until(complete, 150, lambda: f"{len(answers)} answers, {node[spec.name].last_lines(9)}")
    for name, frame_id in frames.items():
        some = [answer for answer in answers if answer.camera == name]
        assert {answer.header.frame_id for answer in some} == {frame_id}
        stamps = [to_nanoseconds(answer.header.stamp) for answer in some]
        assert stamps == sorted(set(stamps))
        assert some[-1].faces[0].estimates[0].task == "gender"


def unprofiled() -> dict[str, Any]:
    """Variables that take the transport profile away again."""
    return dict.fromkeys(environment.PROFILE_VARIABLES, "")
