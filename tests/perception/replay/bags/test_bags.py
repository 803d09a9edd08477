"""Bags of every kind and in every state: the images that are read, and the problems noted."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType

from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.bags.reader import Bag, choose_topics
from fsb_perception.replay.bags.storages import STORAGES
from fsb_perception.replay.bags.topics import COMPRESSED, RAW, ImageTopic
from tests.perception.replay import made_bags
from tests.perception.replay.made_bags import NOISE, stamps

FRONT = "/front/image_raw/compressed"


def frames(bag: Bag) -> list:
    return list(bag.frames(list(bag.topics.values())))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("kind", [made_bags.PACKED, made_bags.RAW])
def test_images_come_with_their_own_stamps(storage: str, kind: str, tmp_path: Path) -> None:
    bag = Bag(made_bags.write(tmp_path / "bag", {FRONT: stamps(5)}, kind, storage, ["/talk"]))
    assert [topic.count for topic in bag.topics.values()] == [5]
    read = frames(bag)
    assert [frame.stamp for frame in read] == stamps(5)
    for frame in read:
        assert frame.decode().shape == (48, 64, 3)
    if kind == made_bags.RAW:
        assert (read[0].decode() == NOISE).all()
    assert not bag.problems


@pytest.mark.parametrize("storage", STORAGES)
def test_a_single_file_is_a_bag_too(storage: str, tmp_path: Path) -> None:
    bag = made_bags.write(tmp_path / "bag", {FRONT: stamps(3)}, storage=storage)
    assert len(frames(Bag(made_bags.file_of(bag)))) == 3


def test_an_mcap_that_was_cut_short_is_read_up_to_there(tmp_path: Path) -> None:
    whole = made_bags.write(tmp_path / "bag", {FRONT: stamps(400)})
    bag = Bag(made_bags.cut(whole, 0.98, tmp_path / "short"))
    assert 0 < len(frames(bag)) <= 400
    assert set(bag.problems) == {"bag is damaged and read as far as it goes", "cut short"}


@pytest.mark.parametrize("kind", list(CompressionType), ids=lambda kind: kind.name)
def test_of_a_damaged_chunk_alone_the_images_are_lost(
    kind: CompressionType, tmp_path: Path
) -> None:
    path = made_bags.write_chunks(tmp_path / "x.mcap", stamps(60), kind)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 100] = b"\x55" * 100
    path.write_bytes(data)
    bag = Bag(path)
    read = [frame.stamp for frame in frames(bag)]
    assert 30 < len(read) < 60
    assert read == sorted(set(read) & set(stamps(60)))
    assert read[0] == stamps(60)[0]
    assert read[-1] == stamps(60)[-1]
    assert bag.problems["damaged chunk skipped"] == 1


@pytest.fixture(scope="module")
def chunked(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("chunked")
    return made_bags.write_chunks(folder / "x.mcap", stamps(20), CompressionType.ZSTD).read_bytes()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_cut_anywhere_a_bag_is_read_or_refused(chunked: bytes, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(chunked)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.mcap")
        path.write_bytes(chunked[:length])
        try:
            read = [frame.stamp for frame in frames(Bag(path))]
        except BagError:
            read = []
    assert read == stamps(20)[: len(read)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_with_a_wrong_byte_anywhere_a_bag_is_read_or_refused(
    chunked: bytes, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(chunked) - 1))
    wrong = data.draw(st.integers(1, 255)) ^ chunked[place]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.mcap")
        path.write_bytes(chunked[:place] + bytes([wrong]) + chunked[place + 1 :])
        with contextlib.suppress(BagError):
            assert len(frames(Bag(path))) <= 20


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_database_that_was_cut_short_is_read_up_to_there(share: float, tmp_path: Path) -> None:
    whole = made_bags.write(tmp_path / "bag", {FRONT: stamps(60)}, storage="sqlite3")
    bag = Bag(made_bags.cut(whole, share, tmp_path / "short"))
    read = frames(bag)
    assert 0 < len(read) < 60
    assert [frame.stamp for frame in read] == stamps(60)[: len(read)]
    assert "cut short" in bag.problems
    assert not list(tmp_path.glob("fsb_salvage_*"))


# As a recorder that is killed amid a transaction: some of it has reached the file already.
KILLED = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN")
for stamp in range(100):
    database.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES (1, ?, ?)",
                     (stamp, b"x" * 5000))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_of_a_recorder_that_was_killed_all_that_was_committed_is_read(tmp_path: Path) -> None:
    path = made_bags.write(tmp_path / "bag", {FRONT: stamps(60)}, storage="sqlite3")
    file = made_bags.file_of(path)
    (path / "metadata.yaml").unlink()  # it is written at the end
    subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
    beside = file.with_name(file.name + "-journal")
    before = file.read_bytes(), beside.read_bytes()
    assert [frame.stamp for frame in frames(Bag(path))] == stamps(60)
    assert (file.read_bytes(), beside.read_bytes()) == before


def test_without_its_metadata_a_bag_is_read_all_the_same(tmp_path: Path) -> None:
    path = made_bags.write(tmp_path / "bag", {FRONT: stamps(4)})
    (path / "metadata.yaml").unlink()
    bag = Bag(path)
    assert len(frames(bag)) == 4
    assert "bag is damaged and read as far as it goes" in bag.problems


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path / "absent", "there is no such bag"),
        (lambda path: path, "nothing that can be read"),
        (lambda path: made_bags.write(path / "b", {}, others=["/talk"]), "it holds /talk"),
    ],
)
def test_what_has_no_images_is_refused(make, why: str, tmp_path: Path) -> None:
    with pytest.raises(BagError, match=why):
        Bag(make(tmp_path))


def test_bytes_that_are_no_bag_are_refused(tmp_path: Path) -> None:
    (tmp_path / "y.db3-journal").write_bytes(b"\x55" * 500)  # a recorder that was killed
    for name in ("x.mcap", "x.db3", "y.db3"):
        (tmp_path / name).write_bytes(b"\x00" * 500)
        with pytest.raises(BagError, match="nothing that can be read"):
            Bag(tmp_path / name)


def test_an_image_topic_without_images_gives_none(tmp_path: Path) -> None:
    assert frames(Bag(made_bags.write(tmp_path / "bag", {FRONT: []}))) == []


@pytest.mark.parametrize(
    ("topic", "camera"),
    [
        ("/image", ""),
        ("/image/compressed", ""),
        ("/front/image_raw", "front"),
        ("/front/image_rect_color/compressed", "front"),
        ("/head/left/image", "head/left"),
        ("/video", "video"),
    ],
)
def test_a_camera_is_called_after_its_topic(topic: str, camera: str) -> None:
    assert ImageTopic(topic, COMPRESSED).camera == camera


def test_of_two_topics_of_a_camera_the_raw_one_is_taken(tmp_path: Path) -> None:
    bag = Bag(made_bags.write(tmp_path / "bag", {FRONT: stamps(1)}))
    raw = ImageTopic("/front/image_raw", RAW)
    bag.topics[raw.name] = raw
    assert choose_topics(bag) == [raw]
    assert [topic.name for topic in choose_topics(bag, [FRONT])] == [FRONT]
    assert "topic left out" not in bag.problems
    alike = ImageTopic("/front/image_rect", RAW)
    bag.topics[alike.name] = alike
    assert choose_topics(bag) == [raw]
    assert bag.problems["topic left out"] == 1
    with pytest.raises(BagError, match=r"unknown topic of images '/side'.* Known: /front"):
        choose_topics(bag, ["/side"])


def test_images_of_distances_are_read_only_when_they_are_named(tmp_path: Path) -> None:
    depth = "/head/depth/image_raw"
    bag = Bag(made_bags.write(tmp_path / "bag", {depth: stamps(2), FRONT: stamps(2)}))
    assert [topic.name for topic in choose_topics(bag)] == [FRONT]
    assert bag.problems["topic left out"] == 1
    assert [topic.name for topic in choose_topics(bag, [depth])] == [depth]
    alone = Bag(made_bags.write(tmp_path / "alone", {depth: stamps(2)}))
    with pytest.raises(BagError, match="no topic of colour images"):
        choose_topics(alone)
