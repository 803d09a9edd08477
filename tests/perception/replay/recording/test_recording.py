"""Recordings with a subscriber that is made up: what is chosen, written, lost, and refused."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from rosbags.highlevel import AnyReader

from fsb_perception.errors import FsbError
from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.bags.message_types import FACES
from fsb_perception.replay.bags.reader import Bag
from fsb_perception.replay.bags.storages import STORAGES
from fsb_perception.replay.bags.topics import RAW
from fsb_perception.replay.recording.backlog import Backlog, ReceivedMessage
from fsb_perception.replay.recording.bag import RecordedBag
from fsb_perception.replay.recording.session import (
    Connect,
    RecordRequest,
    RecordState,
    record,
    stop_on_signals,
)
from fsb_perception.replay.recording.topics import Notify, TopicChoice
from tests.perception.replay import made_bags

TEXT = "made_msgs/msg/Text"
NODES = {"/head/camera": {"/image": RAW}, "/face_attributes": {"/faces": FACES, "/text": TEXT}}
CDR = b"\x00\x01\x00\x00" + b"\x03\x00\x00\x00ha\x00"


DEFINITIONS = {
    TEXT: "string data",
    RAW: "std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\n"
    "uint8 is_bigendian\nuint32 step\nuint8[] data",
    "std_msgs/msg/Header": "builtin_interfaces/Time stamp\nstring frame_id",
    "builtin_interfaces/msg/Time": "int32 sec\nuint32 nanosec",
}


class MadeSubscriber:
    """A robot with a few nodes; each subscription receives some messages at once."""

    def __init__(
        self, nodes: Mapping[str, Mapping[str, str]], backlog: Backlog | None = None, count: int = 3
    ) -> None:
        self.nodes = {name: dict(topics) for name, topics in nodes.items()}
        self._backlog = backlog or Backlog()
        self._count = count

    def published(self) -> dict[str, str]:
        return {topic: kind for topics in self.nodes.values() for topic, kind in topics.items()}

    def published_by(self, node: str) -> set[str]:
        return set(self.nodes.get(f"/{node.strip('/')}", {}))

    def offered(self, topic: str) -> Sequence:
        return ()

    def subscribe(self, topic: str, kind: str) -> None:
        for number in range(self._count):
            self._backlog.put(ReceivedMessage(topic, number, CDR))


@pytest.mark.parametrize(
    ("topics", "nodes", "available", "missing"),
    [
        ([], [], ["/faces", "/image"], []),
        (["text"], [], ["/text"], []),
        ([], ["face_attributes"], ["/faces", "/text"], []),
        (["/image"], ["/face_attributes"], ["/faces", "/image", "/text"], []),
        (["/image", "/late"], ["/gone"], ["/image"], ["/late", "node /gone"]),
    ],
)
def test_topics_are_chosen_by_name_node_or_type(
    topics: list[str], nodes: list[str], available: list[str], missing: list[str]
) -> None:
    choice = TopicChoice(MadeSubscriber(NODES), topics, nodes)
    assert sorted(choice.available()) == available
    assert choice.missing() == missing


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the definitions of a few messages, as ROS does."""
    for name, text in DEFINITIONS.items():
        path = tmp_path / f"prefix/share/{name}.msg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "prefix"))


def connect(nodes: Mapping[str, Mapping[str, str]], count: int = 3) -> Connect:
    @contextlib.contextmanager
    def subscribing(backlog: Backlog, notify: Notify) -> Iterator[MadeSubscriber]:
        yield MadeSubscriber(nodes, backlog, count)

    return subscribing


def ignore(state: RecordState) -> None:
    """Show nothing."""


@pytest.mark.parametrize("storage", STORAGES)
def test_messages_are_written_until_the_time_is_over(
    storage: str, tmp_path: Path, lines: list[str]
) -> None:
    request = RecordRequest(tmp_path / "bag", ["/text"], storage=storage, seconds=0.1)
    state = record(request, connect({"/talker": {"/text": TEXT}}), lines.append, ignore)
    assert (state.ended, state.full, state.messages) == ("0.1 s are over", False, {"/text": 3})
    with AnyReader([tmp_path / "bag"]) as reader:
        texts = [reader.deserialize(data, c.msgtype).data for c, _, data in reader.messages()]
    assert texts == ["ha"] * 3
    assert not lines


def test_a_recording_ends_at_its_size(tmp_path: Path, lines: list[str]) -> None:
    request = RecordRequest(tmp_path / "bag", ["/text"], most_bytes=2 * len(CDR))
    state = record(request, connect({"/talker": {"/text": TEXT}}), lines.append, ignore)
    assert state.ended == "the bag has the size that was asked for"
    assert state.messages == {"/text": 2}


def test_a_late_topic_of_an_unknown_type_is_left_out(tmp_path: Path, lines: list[str]) -> None:
    nodes = {"/talker": {"/text": TEXT}}
    subscribers = []

    @contextlib.contextmanager
    def subscribing(backlog: Backlog, notify: Notify) -> Iterator[MadeSubscriber]:
        subscribers.append(MadeSubscriber(nodes, backlog))
        yield subscribers[0]

    def come_late(state: RecordState) -> None:
        subscribers[0].nodes["/talker"]["/wheel"] = "wheels_msgs/msg/Wheel"

    request = RecordRequest(tmp_path / "bag", nodes=["talker"], seconds=0.7)
    state = record(request, subscribing, lines.append, come_late)
    assert state.kinds == {"/text": TEXT}
    assert lines == [
        "Left out: /wheel: wheels_msgs/msg/Wheel is not installed here: source the workspace that "
        "has the package wheels_msgs (. install/setup.bash), and start again"
    ]


@pytest.mark.parametrize(
    ("nodes", "count", "why"),
    [
        ({}, 1, r"no publisher of /text after 0 s; topics here: none at all\. Does the robot run"),
        ({"/talker": {"/text": "wheels_msgs/msg/Wheel"}}, 1, "/text: wheels_msgs/msg/Wheel is not"),
        ({"/talker": {"/text": "a/srv/B"}}, 1, "/text: a/srv/B is no message of a topic"),
        ({"/talker": {"/text": TEXT}}, 0, "no message came in .* on /text: nothing is written"),
    ],
)
def test_a_recording_without_messages_leaves_no_bag(
    nodes: dict, count: int, why: str, tmp_path: Path, lines: list[str]
) -> None:
    request = RecordRequest(tmp_path / "bag", ["/text"], seconds=0.0, wait=0.0)
    with pytest.raises(BagError, match=why):
        record(request, connect(nodes, count), lines.append, ignore)
    assert not (tmp_path / "bag").exists()


def test_signals_set_an_event_until_the_block_ends() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(1.0)
    assert signal.getsignal(signal.SIGTERM) == before


def test_messages_that_a_slow_disk_cannot_take_are_counted() -> None:
    backlog = Backlog(most_bytes=100)
    for number in range(5):
        backlog.put(ReceivedMessage("/image", number, bytes(40)))
    assert backlog.lost == {"/image": 3}
    assert [m.received for m in iter(backlog.get, None)] == [0, 1]
    backlog.put(ReceivedMessage("/image", 5, bytes(400)))  # larger than all, and alone
    assert backlog.get() is not None


@pytest.mark.parametrize("storage", STORAGES)
def test_a_disk_that_takes_no_more_ends_a_bag(tmp_path: Path, storage: str) -> None:
    data = bytes(made_bags.TYPES.serialize_cdr(made_bags.message(1, RAW), RAW))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, before[1]))
    trouble, written = "", 0
    try:
        with contextlib.suppress(BagError), RecordedBag(tmp_path / "bag", storage) as bag:
            bag.add("/image", RAW)
            while not trouble:
                written += 1
                trouble = bag.write(ReceivedMessage("/image", written, data))
                time.sleep(2.5 / 400)  # longer than what SQLite may take back
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "takes no more" in trouble
    read = Bag(tmp_path / "bag")
    assert len(list(read.frames(list(read.topics.values())))) > 0.5 * written


@pytest.mark.parametrize(
    ("storage", "why"),
    [("mcap", "is there already"), ("rar", r"unknown storage 'rar'.* Known: mcap, sqlite3")],
)
def test_a_recording_needs_a_place_and_a_known_storage(
    tmp_path: Path, storage: str, why: str
) -> None:
    with pytest.raises(FsbError, match=why):
        RecordedBag(tmp_path, storage)
