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
    assert not list(tmp_path.glob("fsb-salvage-*"))


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
        ("/stereo/image_left", "stereo/image_left"),
        ("/image0", "image0"),
    ],
)
def test_a_camera_is_called_after_its_topic(topic: str, camera: str) -> None:
    assert ImageTopic(topic, COMPRESSED).camera == camera


def with_topics(tmp_path: Path, *topics: ImageTopic) -> Bag:
    """Return a bag whose index is replaced by these topics."""
    bag = Bag(made_bags.write(tmp_path / "bag", {FRONT: stamps(1)}))
    bag.topics = {topic.name: topic for topic in topics}
    return bag


@pytest.mark.parametrize(
    ("raw", "packed", "chosen"),
    [(0, 8, COMPRESSED), (1, 8, COMPRESSED), (8, 8, RAW), (9, 8, RAW)],
)
def test_of_two_topics_of_a_camera_the_one_with_most_images_is_taken(
    raw: int, packed: int, chosen: str, tmp_path: Path
) -> None:
    topics = ImageTopic("/front/image_raw", RAW, raw), ImageTopic(FRONT, COMPRESSED, packed)
    bag = with_topics(tmp_path, *topics)
    assert [topic.type for topic in choose_topics(bag)] == [chosen]
    (left,) = (topic for topic in topics if topic.type != chosen)
    ((kind, count),) = bag.problems.items()
    assert f"images of {left.name} left out" in kind
    assert count == left.count
    assert [topic.name for topic in choose_topics(bag, [FRONT])] == [FRONT]
    with pytest.raises(BagError, match=r"unknown topic of images '/side'.* Known: /front"):
        choose_topics(bag, ["/side"])


@pytest.mark.parametrize(
    ("name", "encoding", "is_depth"),
    [
        ("/head/depth/image_raw", "", True),
        ("/head/aligned_depth_to_color/image_raw", "", True),
        ("/head/depth/image_raw", "bgr8", False),
        ("/depth_cam/rgb/image_raw", "", False),
        ("/depthai/rgb/image_raw", "bgr8", False),
        ("/front/image_raw", "32FC1", True),
        ("/front/image_raw", "16UC1", True),
    ],
)
def test_distances_are_known_by_encoding_or_the_last_part_of_the_name(
    name: str, encoding: str, is_depth: bool, tmp_path: Path
) -> None:
    topic = ImageTopic(name, RAW, 3, encoding)
    assert topic.is_depth == is_depth
    bag = with_topics(tmp_path, topic, ImageTopic("/side/image", RAW, 1))
    chosen = [topic.name for topic in choose_topics(bag)]
    assert (name in chosen) != is_depth
    assert bag.problems.total() == (3 if is_depth else 0)
    assert [topic.name for topic in choose_topics(bag, [name])] == [name]


def test_the_encoding_is_that_of_the_first_image(tmp_path: Path) -> None:
    bag = Bag(made_bags.write(tmp_path / "bag", {"/depth_cam/image": stamps(2)}, made_bags.RAW))
    assert [topic.encoding for topic in choose_topics(bag)] == ["bgr8"]


def test_of_distances_alone_nothing_is_read(tmp_path: Path) -> None:
    alone = Bag(made_bags.write(tmp_path / "alone", {"/head/depth/image_raw": stamps(2)}))
    with pytest.raises(BagError, match=r"no topic of colour images.*/head/depth/image_raw"):
        choose_topics(alone)


def test_stereo_cameras_are_two(tmp_path: Path) -> None:
    names = ["/stereo/image_left", "/stereo/image_right"]
    bag = Bag(made_bags.write(tmp_path / "bag", {name: stamps(2) for name in names}))
    assert [topic.camera for topic in choose_topics(bag)] == [name[1:] for name in names]
    assert not bag.problems


def test_a_transport_that_is_not_decoded_is_left_out_by_name(tmp_path: Path) -> None:
    topics = {"/cam/image_raw": stamps(2), "/cam/image_raw/zstd": stamps(3)}
    bag = Bag(made_bags.write(tmp_path / "bag", topics))
    assert [topic.name for topic in choose_topics(bag)] == ["/cam/image_raw"]
    assert dict(bag.problems) == {
        "images of /cam/image_raw/zstd left out, since zstd is not decoded": 3
    }


def test_messages_that_were_compressed_one_by_one_are_read_without_the_metadata(
    tmp_path: Path,
) -> None:
    path = made_bags.write_packed(tmp_path / "bag", FRONT, stamps(4))
    (path / "metadata.yaml").unlink()
    for bag in (Bag(path), Bag(made_bags.file_of(path))):
        assert [frame.stamp for frame in frames(bag)] == stamps(4)


def test_split_files_without_metadata_are_read_in_the_order_of_recording(tmp_path: Path) -> None:
    every, folder = stamps(24), tmp_path / "killed"
    folder.mkdir()
    for number in range(12):
        part = every[2 * number : 2 * number + 2]
        made = made_bags.write_chunks(folder / f"rec_{number}.mcap", part, CompressionType.NONE)
        (folder / f"._{made.name}").write_bytes(b"\0\5\x16\7")  # the shadow file of a Mac
    bag = Bag(folder)
    assert [frame.stamp for frame in frames(bag)] == every
    assert bag.problems.first["bag is damaged and read as far as it goes"].endswith(
        "killed/metadata.yaml is missing"
    )


@pytest.mark.parametrize("kept", [True, False], ids=["one of many", "the only one"])
def test_a_chunk_that_fails_its_checksum_is_reported(kept: bool, tmp_path: Path) -> None:
    path = made_bags.write(tmp_path / "bag", {FRONT: stamps(300 if kept else 3)})
    file = made_bags.file_of(path)
    data = bytearray(file.read_bytes())
    data[data.index(b"\xff\xd8\xff") + 200] ^= 1  # in the first image; rosbags writes no checksum
    file.write_bytes(data)
    bag = Bag(path)
    read = [frame.stamp for frame in frames(bag)]
    assert "hecksum" in bag.problems.first["bag is damaged and read as far as it goes"]
    assert bag.problems["damaged chunk skipped"] == 1
    assert read == (stamps(300)[-len(read) :] if kept else [])
    assert len(read) < 300


def test_reasons_name_the_file_and_the_type(tmp_path: Path) -> None:
    path = made_bags.write(tmp_path / "b", {FRONT: stamps(1)})
    made_bags.file_of(path).rename(tmp_path / "elsewhere.mcap")
    with pytest.raises(BagError, match=r"files are missing.*b\.mcap"):
        Bag(path)
    talk = made_bags.write(tmp_path / "t", {}, others=["/talk"])
    with pytest.raises(BagError, match=r"/talk \(std_msgs/msg/String\)"):
        Bag(talk)
    (tmp_path / "x.bag").write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(BagError, match=r"x\.bag is a bag of ROS 1: convert"):
        Bag(tmp_path / "x.bag")
    folder = tmp_path / "z"
    folder.mkdir()
    (folder / "x.mcap.zstd").write_bytes(b"")
    with pytest.raises(BagError, match=r"it holds x\.mcap\.zstd.*unpack"):
        Bag(folder)
