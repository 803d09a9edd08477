"""The images of a rosbag2, sqlite3 or MCAP, as far as they can be read.

    folder or file --> Bag: records of every topic
                   --> choose_topics: one topic of colour images for each camera
                   --> Bag.frames: a Frame for each image, decoded when it is asked for

Only topics of ``sensor_msgs/Image`` and ``CompressedImage`` are read: unknown types on other topics
do no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsb_perception.images.decoding import ROBOT, DecodingConfig
from fsb_perception.images.encodings import ENCODINGS
from fsb_perception.images.messages import compressed_to_bgr, image_to_bgr
from fsb_perception.problems import Problems
from fsb_perception.registry import UnknownNameError
from fsb_perception.replay.bags.errors import BagError, require_packages
from fsb_perception.replay.bags.message_types import ros_types
from fsb_perception.replay.bags.records import Records, TopicSize
from fsb_perception.replay.bags.salvage import Record
from fsb_perception.replay.bags.storages import STORAGE_OF_SUFFIX, bag_files
from fsb_perception.replay.bags.topics import (
    RAW,
    ImageTopic,
    is_image_type,
    unread_transport,
)
from fsb_perception.types import Image

_SECOND = 1_000_000_000  # ns
_ROS1 = b"#ROSBAG"
_MOST_NAMED, _LONGEST = 20, 400  # names in an error, and their characters


@dataclass(frozen=True, eq=False)
class Frame:
    """An image of a bag, not decoded yet.

    Attributes:
        topic: where it was published.
        stamp: of its header, in nanoseconds.
        received: when it was recorded, in nanoseconds.
        message: as rosbags reads it.
        data: the same as CDR.

    >>> bag = Bag(Path("kitchen"))  # doctest: +SKIP
    >>> next(bag.frames(choose_topics(bag))).decode().shape  # doctest: +SKIP
    (480, 640, 3)
    """

    topic: ImageTopic
    stamp: int
    received: int
    message: Any
    data: bytes = b""

    def decode(self, config: DecodingConfig = ROBOT) -> Image:
        """Return the picture as uint8 BGR (height, width, 3).

        Args:
            config: limits of encoded pictures.

        Raises:
            ConversionError: the message is no picture that can be read.
        """
        if self.topic.type == RAW:
            return image_to_bgr(self.message)
        return compressed_to_bgr(self.message, config)


class Bag:
    """A recording, opened to read its images.

    Args:
        path: folder of a rosbag2, or one of its ``.mcap`` or ``.db3`` files.

    Attributes:
        path: as given.
        topics: of images, by name.
        problems: what could not be read; complete once `frames` has ended.

    Raises:
        BagError: there is no bag, or nothing of it can be read.

    >>> Bag(Path("kitchen")).topics  # doctest: +SKIP
    {'/front/image': ImageTopic(name='/front/image', type='sensor_msgs/msg/Image', count=600)}
    """

    def __init__(self, path: Path) -> None:
        require_packages()
        _require_rosbag2(path)
        self.path = path
        self.problems = Problems()
        self._records = Records(path, self.problems)
        self._types = ros_types()
        self.topics = {
            name: ImageTopic(name, size.type, size.count, self._encoding(size))
            for name, size in sorted(self._records.topics.items())
            if is_image_type(size.type) and not unread_transport(name)
        }
        for name, size in sorted(self._records.topics.items()):
            if transport := unread_transport(name):
                self.leave_out(name, size.count, f"{transport} is not decoded")
        if not self.topics:
            raise BagError(
                f"{path}: no topic of images (sensor_msgs/Image or CompressedImage); "
                f"it holds {self._content()}"
            )

    def leave_out(self, topic: str, count: int, reason: str) -> None:
        """Count the images of a topic that is not read among the problems."""
        self.problems.note(f"images of {topic} left out, since {reason}", "", count)

    def _content(self) -> str:
        topics = [f"{name} ({size.type})" for name, size in sorted(self._records.topics.items())]
        more = f" and {len(topics) - _MOST_NAMED} more" if len(topics) > _MOST_NAMED else ""
        if topics:
            return ", ".join(topics[:_MOST_NAMED]) + more
        return f"nothing that can be read: {self._records.damage or 'no topic is in it'}"

    def _encoding(self, size: TopicSize) -> str:
        """Return the encoding of a topic's first image, "" if it does not say."""
        try:
            message: Any = self._types.deserialize_cdr(size.first, size.type)
        except Exception:  # there is none, or damaged bytes may break it anywhere
            return ""
        if size.type == RAW:
            return str(message.encoding)
        encoding = str(message.format).partition(";")[0].strip()  # "bgr8; jpeg compressed bgr8"
        return encoding if encoding in ENCODINGS else ""

    def frames(self, topics: Sequence[ImageTopic]) -> Iterator[Frame]:
        """Yield the images of topics in the order in which they were recorded."""
        wanted = {topic.name: topic for topic in topics}
        for record in self._records.read(wanted):
            frame = self._frame(wanted[record.topic], record)
            if frame is not None:
                yield frame

    def _frame(self, topic: ImageTopic, record: Record) -> Frame | None:
        try:
            message: Any = self._types.deserialize_cdr(record.data, topic.type)
        except Exception as error:  # damaged bytes may break it anywhere
            place = f"{record.topic} recorded at {record.received} ns"
            self.problems.note("message that cannot be read", f"{place}: {error}")
            return None
        stamp = message.header.stamp
        nanoseconds = stamp.sec * _SECOND + stamp.nanosec
        return Frame(topic, nanoseconds, record.received, message, bytes(record.data))


def _require_rosbag2(path: Path) -> None:
    """Raise `BagError` where there is no bag, or one that another program has to convert first."""
    if not path.exists():
        raise BagError(f"{path}: there is no such bag; check the path")
    if path.is_dir():
        there = sorted(file.name for file in path.iterdir())
        if there and not bag_files(path) and "metadata.yaml" not in there:
            names = ", ".join(there[:_MOST_NAMED])
            raise BagError(
                f"{path}: no {' or '.join(STORAGE_OF_SUFFIX)} file in this folder; it holds "
                f"{names[:_LONGEST]}: name a rosbag2, and unpack *.zstd before (zstd -d)"
            )
        return
    with path.open("rb") as file:
        start = file.read(len(_ROS1))
    if start == _ROS1:
        raise BagError(
            f"{path} is a bag of ROS 1: convert it to a rosbag2 "
            f"(rosbags-convert --src {path.name} --dst {path.stem})"
        )


def choose_topics(bag: Bag, names: Sequence[str] = ()) -> list[ImageTopic]:
    """Choose one topic of images for each camera; those left out are noted in the bag's problems.

    Of the topics of one camera, the one with the most messages is chosen; of equal ones a raw one,
    then the first by name. Topics of distances are left out unless they are named.

    Args:
        bag: to choose from.
        names: of the topics wanted; all if empty.

    Raises:
        BagError: a name that is no topic of images of the bag, or no topic is left.
    """
    wanted = [_named(bag, name) for name in dict.fromkeys(names)] or _colour_topics(bag)
    chosen: dict[str, ImageTopic] = {}
    for topic in sorted(wanted, key=lambda topic: (-topic.count, topic.type != RAW, topic.name)):
        taken = chosen.setdefault(topic.camera, topic)
        if taken.name != topic.name:
            reason = f"{taken.name} is of the same camera and has {taken.count:,}"
            bag.leave_out(topic.name, topic.count, reason)
    if not chosen:
        depth = ", ".join(bag.topics)
        raise BagError(
            f"{bag.path}: no topic of colour images, but of distances: {depth}; name one with "
            "--topic if it shows faces"
        )
    return sorted(chosen.values(), key=lambda topic: topic.name)


def _named(bag: Bag, name: str) -> ImageTopic:
    if name not in bag.topics:
        raise BagError(f"{bag.path}: {UnknownNameError('topic of images', name, bag.topics)}")
    return bag.topics[name]


def _colour_topics(bag: Bag) -> list[ImageTopic]:
    colour = []
    for topic in bag.topics.values():
        if topic.is_depth:
            kind = f"its encoding {topic.encoding}" if topic.encoding else "its name"
            bag.leave_out(topic.name, topic.count, f"{kind} is of distances")
        else:
            colour.append(topic)
    return colour
