"""What must not end, mislead or fill up the node: shortage, lateness, rivals, floods and fuzz."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from fsb_perception.ros.camera_input import is_calibration
from fsb_perception.ros.sparing import SparingExecutor
from fsb_perception.types import Face
from tests.builders import FakeDetector, face
from tests.bundles import random_bundle
from tests.perception.ros.harness import until
from tests.perception.ros.running import PICTURE, Line, grey, image, running

_names = count()


class Gate(FakeDetector):
    """Finds one face; while ``open`` is clear, it waits."""

    def __init__(self) -> None:
        super().__init__([[face(80, 60, 50)]])
        self.open, self.entered = threading.Event(), threading.Event()
        self.open.set()

    def detect(self, picture: Any) -> list[Face]:
        self.entered.set()
        self.open.wait(60)
        return super().detect(picture)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(random_bundle(tmp_path_factory.mktemp("bundle")).folder)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def make(bundle: str, gate: Gate) -> Iterator[Any]:
    usual = {"bundle": bundle, "engine__device": "cpu", "image_reliability": "reliable"}
    with ExitStack() as stack:
        stack.callback(gate.open.set)
        yield lambda **values: stack.enter_context(
            running(f"faults{next(_names)}", detector=gate, **usual | values)
        )


def values_of(line: Line, camera: str = "") -> dict[str, str]:
    status = line.status(camera)
    return {pair.key: pair.value for pair in status.values} if status else {}


def test_a_shortage_of_memory_costs_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node(f"short{next(_names)}", context=context)
    shortages: list[str] = []
    failures = [MemoryError(), MemoryError()]
    received: list[Image] = []
    take = SingleThreadedExecutor._take_subscription

    def fail_once(self: Any, subscription: Any) -> Any:
        taken = take(self, subscription)
        if taken is not None and failures:
            raise failures.pop()
        return taken

    monkeypatch.setattr(SingleThreadedExecutor, "_take_subscription", fail_once)
    node.create_subscription(Image, "~/image", received.append, 10)
    publisher = node.create_publisher(Image, "~/image", 10)
    executor = SparingExecutor(shortages.append, context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    until(publisher.get_subscription_count)
    for number in range(4):
        publisher.publish(image(number, grey(90)))
    until(lambda: len(received) == 2)
    assert [topic.rpartition("/")[2] for topic in shortages] == ["image", "image"]
    executor.shutdown()
    thread.join(10)
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_a_worker_that_outlives_its_end_gets_no_second_one(
    make: Any, gate: Gate, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fsb_perception.ros.worker._STOP_LIMIT", 0.1)
    line = make().activate()
    line.ask(image(0))
    gate.open.clear()
    gate.entered.clear()
    line.publisher().publish(image(1))
    until(gate.entered.is_set)
    assert line.step("deactivate")
    assert not line.step("activate")
    assert "still at its last frame" in capfd.readouterr().err
    gate.open.set()
    until(lambda: line.step("activate"))
    assert line.ask(image(2)).sequence == 1
    assert len(line.arrays) == 2  # the answer of the late worker is not published


def test_an_answer_that_is_too_old_is_counted_and_not_published(
    make: Any, gate: Gate, capfd: pytest.CaptureFixture[str]
) -> None:
    line = make(max_answer_age=0.3).activate()
    line.ask(image(0))
    gate.open.clear()
    line.publisher().publish(image(1))
    time.sleep(0.5)
    gate.open.set()
    line.await_dropped(1)
    assert "max_answer_age" in capfd.readouterr().err
    until(lambda: int(values_of(line).get("late", 0)) >= 1)


def test_a_second_node_of_the_name_is_reported(
    make: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    line = make()
    twin = rclpy.create_node(
        "face_attributes", context=line.robot.context, namespace=line.node.get_namespace()
    )
    line.await_status("2 nodes have the name", DiagnosticStatus.WARN)
    twin.destroy_node()
    assert capfd.readouterr().err.count("2 nodes have the name") == 1


def test_a_second_publisher_of_the_faces_is_reported(make: Any) -> None:
    from fsb_perception.msg import FaceAttributesArray

    line = make().activate()
    line.robot.create_publisher(FaceAttributesArray, "face_attributes/faces", 1)
    line.await_status("1 other publisher(s)", DiagnosticStatus.WARN)


def info(**changes: Any) -> CameraInfo:
    message = CameraInfo(k=[500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0], d=[0.0] * 5)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "calibrated"),
    [
        (None, False),
        (info(), True),
        (info(d=[]), True),
        (CameraInfo(), False),
        (info(k=[np.nan] * 9), False),
        (info(d=[float("inf")]), False),
        (info(k=[-5.0, *[1.0] * 8]), False),
    ],
)
def test_only_a_finite_camera_matrix_is_a_calibration(message: Any, calibrated: bool) -> None:
    assert is_calibration(message) == calibrated


def test_every_image_of_many_publishers_is_counted(make: Any, gate: Gate) -> None:
    line = make().activate()
    publishers = [line.robot.create_publisher(Image, "image", 50) for _ in range(20)]
    for publisher in publishers:
        until(publisher.get_subscription_count)
    for publisher in publishers:  # each is known from its first image on
        line.send(publisher, image(0, grey(90)))
    before = received(line)
    for number in range(1, 21):
        for publisher in publishers:
            publisher.publish(image(number, grey(90)))
    for publisher in publishers:
        line.send(publisher, image(21, grey(90)))
    until(lambda: received(line) - before == 20 * 21, what=lambda: received(line) - before)
    until(lambda: answered_and_dropped(line) == received(line))


def received(line: Line) -> int:
    return line.input().received


def answered_and_dropped(line: Line) -> int:
    active = line.node.active
    assert active is not None
    return line.counts().answered + active.dropped()


def test_a_name_of_megabytes_is_cut_in_the_log(
    make: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    line = make().activate()
    message = image(0)
    message.encoding = "x" * 4_000_000
    for number in range(1, 4):
        line.publisher().publish(message)
        line.await_dropped(number)
    log = capfd.readouterr().err
    assert len(log) < 5000
    assert log.count("xxxxx...") == 1


# ---- fuzz

SMALL = grey(90, 32, 24)
JPEG, PNG = (cv2.imencode(suffix, PICTURE)[1].tobytes() for suffix in (".jpg", ".png"))
ENCODINGS = ("bgr8", "rgb8", "mono8", "mono16", "bgra8", "yuv422", "nv12", "bayer_rggb8", "x", "")


def mutated_image(chance: random.Random) -> Image:
    message = image(chance.randrange(1000), SMALL)
    for _ in range(chance.randrange(3)):
        match chance.randrange(6):
            case 0:
                message.encoding = chance.choice(ENCODINGS)
            case 1:
                message.width = chance.choice([0, 1, 31, 33, 65536, 2**32 - 1])
            case 2:
                message.height = chance.choice([0, 1, 23, 25, 65536, 2**32 - 1])
            case 3:
                message.step = chance.choice([0, 1, 95, 97, 2**32 - 1])
            case 4:
                message.data = message.data[: chance.randrange(len(message.data) + 1)]
            case 5:
                message.header.stamp.sec = chance.choice([0, -1, 2**31 - 1, 5])
    return message


def mutated_jpeg(chance: random.Random) -> CompressedImage:
    data = bytearray(chance.choice([JPEG, PNG]))
    for _ in range(chance.randrange(4)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    if chance.random() < 0.3:
        del data[chance.randrange(len(data)) :]
    message = CompressedImage(
        header=image(0).header, format=chance.choice(["jpeg", "png", "", "x"])
    )
    message.data.frombytes(bytes(data))
    return message


@pytest.mark.long
@pytest.mark.parametrize(
    ("transport", "topic", "kind", "mutate", "number"),
    [
        ("raw", "image", Image, mutated_image, 6000),
        ("compressed", "image/compressed", CompressedImage, mutated_jpeg, 4000),
    ],
)
def test_no_mutated_message_ends_the_node_or_is_lost_from_the_counts(
    make: Any, transport: str, topic: str, kind: Any, mutate: Any, number: int
) -> None:
    """Messages go through the subscription; each is answered, undecodable, failed or dropped."""
    line = make(image_transport=transport).activate()
    chance = random.Random(0)
    publishers = [line.robot.create_publisher(kind, topic, 50) for _ in range(2)]
    infos = line.robot.create_publisher(CameraInfo, "camera_info", 1)
    good = image(0) if kind is Image else mutated_jpeg(random.Random(5))
    for publisher in publishers:
        until(publisher.get_subscription_count)
        line.send(publisher, good)
    before, memory = received(line), psutil.Process().memory_info().rss
    begun = time.monotonic()
    sent = 0
    while sent < number and time.monotonic() - begun < 25:  # a loaded machine sends fewer
        publishers[sent % 2].publish(mutate(chance))
        infos.publish(info(k=[chance.choice([np.nan, 1.0])] * 9))
        sent += 1
        if sent % 10 == 0:
            time.sleep(0.001)
    for publisher in publishers:
        line.send(publisher, good)
    until(lambda: received(line) - before == sent + 2, what=lambda: (received(line) - before, sent))
    until(lambda: answered_and_dropped(line) == received(line))
    assert line.counts().answered > 0
    assert line.counts().undecodable > 0
    assert line.counts().failed == 0
    assert psutil.Process().memory_info().rss - memory < 300e6


@pytest.mark.long
def test_configurations_take_no_memory(make: Any) -> None:
    line = make()

    def cycle(times: int) -> float:
        before = psutil.Process().memory_info().rss
        for _ in range(times):
            assert line.step("configure", "activate", "deactivate", "cleanup")
        return float(psutil.Process().memory_info().rss - before) / 1e6

    cycle(3)
    assert cycle(10) < 60  # it was 28 MB each; scripts/soak.py turns many more
    process = psutil.Process()
    descriptors, threads = process.num_fds(), process.num_threads()
    cycle(3)
    assert process.num_fds() <= descriptors
    assert process.num_threads() <= threads
