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
from fsb_perception.images.messages import compressed_to_bgr, image_to_bgr
from fsb_perception.problems import Problems
from fsb_perception.registry import UnknownNameError
from fsb_perception.replay.bags.errors import BagError, require_packages
from fsb_perception.replay.bags.message_types import ros_types
from fsb_perception.replay.bags.records import Records
from fsb_perception.replay.bags.salvage import Record
from fsb_perception.replay.bags.topics import RAW, ImageTopic, holds_pictures
from fsb_perception.types import Image

_SECOND = 1_000_000_000  # ns


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
        if not path.exists():
            raise BagError(f"{path}: there is no such bag; check the path")
        self.path = path
        self.problems = Problems()
        self._records = Records(path, self.problems)
        self._types = ros_types()
        self.topics = {
            name: ImageTopic(name, size.type, size.count)
            for name, size in sorted(self._records.topics.items())
            if holds_pictures(name, size.type)
        }
        if not self.topics:
            others = ", ".join(sorted(self._records.topics)) or "nothing that can be read"
            raise BagError(
                f"{path}: no topic of images (sensor_msgs/Image or CompressedImage); "
                f"it holds {others}"
            )

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


def choose_topics(bag: Bag, names: Sequence[str] = ()) -> list[ImageTopic]:
    """Choose one topic of images for each camera; those left out are noted in the bag's problems.

    Of the topics of one camera, a raw one goes before a compressed one, then the first by name.
    Topics of distances are left out unless they are named.

    Args:
        bag: to choose from.
        names: of the topics wanted; all if empty.

    Raises:
        BagError: a name that is no topic of images of the bag, or no topic is left.
    """
    wanted = [_named(bag, name) for name in names] or _colour_topics(bag)
    chosen: dict[str, ImageTopic] = {}
    for topic in sorted(wanted, key=lambda topic: topic.type != RAW):
        taken = chosen.setdefault(topic.camera, topic)
        if taken.name != topic.name and (names or taken.type == topic.type):
            place = f"{topic.name}, for {taken.name} is of its camera"
            bag.problems.note("topic left out", place)
    if not chosen:
        raise BagError(f"{bag.path}: no topic of colour images: choose one with --topic")
    return sorted(chosen.values(), key=lambda topic: topic.name)


def _named(bag: Bag, name: str) -> ImageTopic:
    if name not in bag.topics:
        raise BagError(f"{bag.path}: {UnknownNameError('topic of images', name, bag.topics)}")
    return bag.topics[name]


def _colour_topics(bag: Bag) -> list[ImageTopic]:
    colour = []
    for topic in bag.topics.values():
        if topic.is_depth:
            bag.problems.note("topic left out", f"{topic.name}, which seems to be of distances")
        else:
            colour.append(topic)
    return colour
