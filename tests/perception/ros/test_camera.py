"""The executable ``camera`` as a process: its images, and its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from fsb_perception.ros import environment
from fsb_perception.ros.launching.graph import NodeSpec
from fsb_perception.ros.launching.processes import NodeProcesses
from fsb_perception.ros.messages import to_nanoseconds
from tests.perception.ros.harness import spinning_node, until

GREYS = (40, 120, 200)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index, grey in enumerate(GREYS):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((24, 32, 3), grey, np.uint8))
    return tmp_path


@pytest.fixture(scope="module")
def subscriber() -> Iterator[Any]:
    with spinning_node("camera_test") as node:
        yield node


def camera(**parameters: Any) -> NodeProcesses:
    spec = NodeSpec("camera", "fsb_perception.ros.camera", "camera_test", parameters=parameters)
    return NodeProcesses([spec], environment.children(os.environ)[0])


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT])
def test_images_arrive_whole_and_in_order(
    folder: Path, subscriber: Any, reliability: ReliabilityPolicy
) -> None:
    images: list[Image] = []
    qos = QoSProfile(depth=10, reliability=reliability)
    subscription = subscriber.create_subscription(Image, "/camera_test/image", images.append, qos)
    with camera(source=str(folder), fps=50.0, frame_id="eye") as running:
        until(lambda: len(images) >= 12, what=lambda: running["camera"].last_lines(9))
        assert subscriber.count_publishers("/camera_test/camera_info") == 0  # none is known
    subscriber.destroy_subscription(subscription)
    stamps = [to_nanoseconds(image.header.stamp) for image in images]
    assert stamps == sorted(set(stamps))
    for image in images:
        assert (image.header.frame_id, image.encoding) == ("eye", "bgr8")
        assert (image.height, image.width, image.step) == (24, 32, 96)
    greys = [image.data[0] for image in images]
    assert set(greys) == set(GREYS)
    assert all(set(image.data) == {grey} for image, grey in zip(images, greys, strict=True))


def test_a_jpeg_is_published_when_asked_for(folder: Path, subscriber: Any) -> None:
    jpegs: list[CompressedImage] = []
    topic = "/camera_test/image/compressed"
    subscription = subscriber.create_subscription(CompressedImage, topic, jpegs.append, 5)
    with camera(source=str(folder / "1.png"), fps=50.0, compressed=True):
        until(lambda: jpegs)
    subscriber.destroy_subscription(subscription)
    picture = cv2.imdecode(np.frombuffer(jpegs[0].data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (24, 32, 3)
    assert abs(int(picture.mean()) - GREYS[1]) <= 2
    assert "jpeg" in jpegs[0].format


@pytest.mark.parametrize(
    ("parameters", "status", "text"),
    [
        ({"source": "0.png", "loop": False, "fps": 100.0}, 0, "has ended after 1 frames"),
        ({"source": "97"}, 1, "no camera /dev/video97"),
        ({"fps": -1.0}, 1, "fps"),
        ({"sauce": "sample"}, 1, "Did you mean 'source'"),
    ],
)
def test_the_log_gives_the_reason_of_its_end(
    folder: Path,
    parameters: dict[str, Any],
    status: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    with camera(**parameters) as running:
        until(running.ended)
        assert text in "\n".join(running["camera"].last_lines(20))
        assert running["camera"].status == status
