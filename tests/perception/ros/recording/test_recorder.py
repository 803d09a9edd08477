"""``fsb replay record`` as a process beside real publishers: what it writes, and how it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image
from std_msgs.msg import String
from typer.testing import CliRunner

from fsb_perception.commands.replay import app
from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.recording.installed_types import InstalledTypes
from fsb_perception.samples.clip import Clip
from fsb_perception.types import Image as Picture
from tests.bundles import QUICK_ENGINE, random_bundle
from tests.perception.ros.harness import spinning_node, until
from tests.perception.ros.running import BEST_EFFORT, PICTURE, image, running

pytestmark = pytest.mark.timeout(120)
NAMESPACE = f"record_{os.getpid()}"
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope="module")
def robot() -> Iterator[Any]:
    with spinning_node("record_test") as node:
        yield node


@contextlib.contextmanager
def camera(
    robot: Any, topic: str, qos: Any = 10, picture: Picture = PICTURE, period: float = 0.01
) -> Iterator[None]:
    """Publish images; by default small ones, a hundred a second."""
    publisher = robot.create_publisher(Image, topic, qos)
    ended = threading.Event()

    def work() -> None:
        number = 0
        while not ended.wait(period):
            number += 1
            publisher.publish(image(number, picture))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        robot.destroy_publisher(publisher)


def start(*arguments: object, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fsb_perception.cli", "replay", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, text=True, env=os.environ | variables, **pipes)


def fsb(*arguments: object, status: int = 0, **variables: str) -> str:
    process = start(*arguments, **variables)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == status, output
    return " ".join(output.split())


def contents(bag: Path) -> dict[str, list[Any]]:
    """Messages by topic, read by the definitions in the bag alone."""
    messages: dict[str, list[Any]] = {}
    with AnyReader([bag], default_typestore=get_typestore(Stores.EMPTY)) as reader:
        for connection, _, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            messages.setdefault(connection.topic, []).append(message)
    return messages


@pytest.mark.long
def test_a_robot_is_recorded_and_judged(tmp_path: Path) -> None:
    bundle = str(random_bundle(tmp_path / "bundle").folder)
    bag, faces = tmp_path / "bag", f"/{NAMESPACE}/face_attributes/faces"
    topics = (f"/{NAMESPACE}/image", faces)
    photo = Clip("steady").frame(0)
    with running(NAMESPACE, bundle=bundle, image_reliability="reliable", **QUICK_ENGINE) as line:
        line.activate()
        with camera(line.robot, topics[0], picture=photo, period=0.1):
            output = fsb("record", *topics, "--out", bag, "--seconds", 1, "--wait", 90)
    assert output.count("images of people") == 1
    assert f"Judge it: fsb replay run {bag}" in output
    messages = contents(bag)
    assert {(i.width, i.height) for i in messages[f"/{NAMESPACE}/image"]} == {(640, 480)}
    assert any(answer.faces for answer in messages[faces])
    judged = CliRunner().invoke(app, ["run", str(bag), "--out", str(tmp_path / "o")])
    summary = " ".join(judged.output.split())
    assert f"{len(messages[f'/{NAMESPACE}/image'])} images, 0 of them unreadable" in summary


@pytest.mark.parametrize(
    ("storage", "number"),
    [("mcap", signal.SIGINT), ("sqlite3", signal.SIGTERM), ("mcap", signal.SIGHUP)],
)
def test_a_signal_ends_it_with_a_whole_bag(
    robot: Any, tmp_path: Path, storage: str, number: signal.Signals
) -> None:
    topic = f"/{NAMESPACE}/front/image"
    with camera(robot, topic, QoSProfile(depth=1, reliability=BEST_EFFORT)):
        process = start("record", topic, "--out", tmp_path / "bag", "--storage", storage)
        until(lambda: robot.count_subscribers(topic), what="nothing records")
        until(lambda: list(tmp_path.glob("bag/*")), what="no bag")
        until(lambda: sum(f.stat().st_size for f in tmp_path.glob("bag/*")) > 30 * 60_000)
        process.send_signal(number)
        process.send_signal(number)  # as under launch
        output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, output
    assert "Ended: stopped." in output
    assert (tmp_path / "bag/metadata.yaml").is_file()
    assert len(contents(tmp_path / "bag")[topic]) > 20


def test_late_topics_and_earlier_latched_messages_are_recorded(robot: Any, tmp_path: Path) -> None:
    early, late = f"/{NAMESPACE}/early", f"/{NAMESPACE}/late"
    latched = robot.create_publisher(String, early, LATCHED)
    latched.publish(String(data="sent before"))
    names = (early, late.strip("/"))
    process = start("record", *names, "--out", tmp_path / "bag", "--wait", 5, "--seconds", 60)
    until(lambda: list(tmp_path.glob("bag/*")), what="no bag")
    speaker = robot.create_publisher(String, late, 10)
    until(lambda: robot.count_subscribers(late), what="the late topic has no subscriber")
    until(speaker.get_subscription_count)
    speaker.publish(String(data="sent late"))
    threading.Event().wait(0.5)
    process.terminate()
    output, _ = process.communicate(timeout=90)
    assert f"Recording without {late}" in output
    assert "No image is in it" in output
    messages = contents(tmp_path / "bag")
    assert [m.data for m in messages[early]] == ["sent before"]
    assert [m.data for m in messages[late]] == ["sent late"]
    with AnyReader([tmp_path / "bag"]) as reader:
        offered = {c.topic: c.ext.offered_qos_profiles[0].durability for c in reader.connections}
    assert offered == {early: QosDurability.TRANSIENT_LOCAL, late: QosDurability.VOLATILE}
    robot.destroy_publisher(latched)
    robot.destroy_publisher(speaker)


def test_all_of_a_node_up_to_a_size(robot: Any, tmp_path: Path) -> None:
    topic = f"/{NAMESPACE}/side/image"
    with camera(robot, topic):
        wish = ("--all-of-node", "record_test", "--max-size", 1)
        output = fsb("record", *wish, "--out", tmp_path / "bag")
    assert "the bag has the size that was asked for" in output
    size = sum(len(message.data) for message in contents(tmp_path / "bag")[topic])
    assert 0.9e6 < size < 1.1e6


def test_what_cannot_be_recorded_is_explained(robot: Any, tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    absent = ("record", f"/{NAMESPACE}/absent", "--out", bag, "--wait", 0.1)
    assert f"no publisher of /{NAMESPACE}/absent after 0.1 s" in fsb(*absent, status=2)
    topic = f"/{NAMESPACE}/strange"
    publisher = robot.create_publisher(DiagnosticArray, topic, 10)
    (tmp_path / "diagnostic_msgs").mkdir()  # hides the true package, as if it were not sourced
    (tmp_path / "diagnostic_msgs/__init__.py").touch()
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    output = fsb("record", topic, "--out", bag, status=2, PYTHONPATH=paths)
    assert f"{topic}: diagnostic_msgs/msg/DiagnosticArray is not installed here" in output
    assert "source the workspace that has the package diagnostic_msgs" in output
    silent = fsb("record", topic, "--out", bag, "--seconds", 0.1, status=2)
    assert "no message came" in silent
    assert not bag.exists()
    robot.destroy_publisher(publisher)


def test_definitions_are_those_that_are_installed() -> None:
    types = InstalledTypes()
    types.add("fsb_perception/msg/FaceAttributesArray")
    types.add("fsb_perception/msg/FaceAttributes")
    known = get_typestore(Stores.ROS2_KILTED)
    for name in ("std_msgs/msg/Header", "geometry_msgs/msg/Point"):
        assert types.store.fielddefs[name] == known.fielddefs[name]
    with pytest.raises(BagError, match="has the package wheels_msgs"):
        types.add("wheels_msgs/msg/Wheel")
    with pytest.raises(BagError, match="no message of a topic"):
        types.add("turtle/action/Turn_FeedbackMessage")
