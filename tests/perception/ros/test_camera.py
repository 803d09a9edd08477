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
from tests.perception.ros.harness import ends, spinning_node, until

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


def test_images_arrive_whole_and_in_order(folder: Path, subscriber: Any) -> None:
    """Three subscribers at once: a reliable one, one of best effort, and one of JPEGs."""
    received: dict[ReliabilityPolicy, list[Image]] = {
        ReliabilityPolicy.RELIABLE: [],
        ReliabilityPolicy.BEST_EFFORT: [],
    }
    jpegs: list[CompressedImage] = []
    for reliability, images in received.items():
        qos = QoSProfile(depth=10, reliability=reliability)
        subscriber.create_subscription(Image, "/camera_test/image", images.append, qos)
    topic = "/camera_test/image/compressed"
    subscriber.create_subscription(CompressedImage, topic, jpegs.append, 5)
    with camera(source=str(folder), fps=50.0, frame_id="eye", compressed=True) as running:
        until(
            lambda: jpegs and min(map(len, received.values())) >= 12,
            what=lambda: running["camera"].last_lines(9),
        )
        assert subscriber.count_publishers("/camera_test/camera_info") == 0  # none is known
    for images in received.values():
        stamps = [to_nanoseconds(image.header.stamp) for image in images]
        assert stamps == sorted(set(stamps))
        for image in images:
            assert (image.header.frame_id, image.encoding) == ("eye", "bgr8")
            assert (image.height, image.width, image.step) == (24, 32, 96)
        greys = [image.data[0] for image in images]
        assert set(greys) == set(GREYS)
        assert all(set(image.data) == {grey} for image, grey in zip(images, greys, strict=True))
    picture = cv2.imdecode(np.frombuffer(jpegs[0].data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (24, 32, 3)
    assert min(abs(int(picture.mean()) - grey) for grey in GREYS) <= 2
    assert "jpeg" in jpegs[0].format


ENDS = {
    "has ended after 1 frames": (0, ("source:='0.png'", "loop:=false", "fps:=100.0")),
    "no camera /dev/video97": (1, ("source:='97'",)),
    "fps": (1, ("fps:=-1.0",)),
    "Did you mean 'source'": (1, ("sauce:=sample",)),
}


def test_the_log_gives_the_reason_of_its_end(folder: Path) -> None:
    runs = [[text for word in words for text in ("-p", word)] for _, words in ENDS.values()]
    results = ends("fsb_perception.ros.camera", runs, folder)
    for (reason, (status, _)), (log, seen) in zip(ENDS.items(), results, strict=True):
        assert reason in log
        assert seen == status, log
