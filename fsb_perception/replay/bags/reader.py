"""The images of a rosbag2, sqlite3 or MCAP, as far as they can be read.

    folder or file --> rosbags --------------> records --> image topics --> Frame
                          | refuses it             |
                          +--> salvage ------------+

Only topics of ``sensor_msgs/Image`` and ``CompressedImage`` are looked at; types that nobody knows
on other topics disturb nothing.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsb_perception.errors import FsbError
from fsb_perception.images.messages import compressed_to_bgr, image_to_bgr
from fsb_perception.problems import Problems
from fsb_perception.replay.bags.salvage import SALVAGE, Record
from fsb_perception.types import Image

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
DAMAGED = "bag is damaged and read as far as it goes"
_SECOND = 1_000_000_000
_NOT_COLOUR = ("compressedDepth", "theora", "ffmpeg")  # transports that are no still colour picture


class BagError(FsbError):
    """A recording that cannot be judged at all; the message says why, and what to do."""


@dataclass(frozen=True)
class ImageTopic:
    """A topic of images.

    Attributes:
        name: of the topic.
        type: `RAW` or `COMPRESSED`.
        count: its messages; 0 where the bag does not say.
    """

    name: str
    type: str
    count: int = 0

    @property
    def camera(self) -> str:
        """What its answers are filed under.

        >>> ImageTopic("/head/front/image_raw/compressed", COMPRESSED).camera
        'head/front'
        >>> ImageTopic("/image", RAW).camera
        ''
        """
        parts = self.name.strip("/").split("/")
        if parts[-1] == "compressed":
            parts.pop()
        if parts and parts[-1].startswith("image"):
            parts.pop()
        return "/".join(parts)


@dataclass(frozen=True, eq=False)
class Frame:
    """An image of a bag, not decoded yet.

    Attributes:
        topic: where it was published.
        stamp: of its header, in nanoseconds.
        received: when it was recorded, in nanoseconds.
        message: as rosbags reads it.
        data: the same as CDR.
    """

    topic: ImageTopic
    stamp: int
    received: int
    message: Any
    data: bytes = b""

    def decode(self) -> Image:
        """uint8 BGR (height, width, 3); or `fsb_perception.images.ConversionError`."""
        if self.topic.type == RAW:
            return image_to_bgr(self.message)
        return compressed_to_bgr(self.message)


class Bag:
    """A recording: what images it holds, and what is wrong with it.

    Args:
        path: folder of a rosbag2, or one of its ``.mcap`` or ``.db3`` files.

    Attributes:
        topics: of images, by name.
        problems: what could not be read; it is complete once `frames` has ended.

    Raises:
        BagError: there is no bag, or nothing of it can be read.
    """

    def __init__(self, path: Path) -> None:
        require_packages()
        from rosbags.typesys import Stores, get_typestore

        self.path = path
        self.problems = Problems()
        self._types = get_typestore(Stores.ROS2_KILTED)
        self.topics = {topic.name: topic for topic in self._open()}

    def frames(self, topics: Sequence[ImageTopic]) -> Iterator[Frame]:
        """The images of topics in the order in which they were recorded."""
        wanted = {topic.name: topic for topic in topics}
        for record in self._records(list(wanted)):
            topic = wanted.get(record.topic)
            if topic is None:
                continue
            try:
                message: Any = self._types.deserialize_cdr(record.data, topic.type)
            except Exception as error:  # damaged bytes may break it anywhere
                where = f"{record.topic} recorded at {record.received} ns"
                self.problems.note("message that cannot be read", f"{where}: {error}")
                continue
            stamp = message.header.stamp
            nanoseconds = stamp.sec * _SECOND + stamp.nanosec
            yield Frame(topic, nanoseconds, record.received, message, bytes(record.data))

    def _open(self) -> list[ImageTopic]:
        if not self.path.exists():
            raise BagError(f"{self.path}: there is no such bag")
        try:
            with self._reader() as reader:
                found = {
                    connection.topic: ImageTopic(
                        connection.topic, connection.msgtype, connection.msgcount
                    )
                    for connection in reader.connections
                }
            self._damaged = False
        except Exception as error:  # rosbags passes on what the storage raises
            self._damaged = True
            self.problems.note(DAMAGED, str(error))
            found = self._survey()
        topics = [topic for topic in found.values() if _is_picture(topic)]
        if not topics:
            others = ", ".join(sorted(found)) or "nothing that can be read"
            raise BagError(
                f"{self.path}: no topic of images (sensor_msgs/Image or CompressedImage); "
                f"it holds {others}"
            )
        return sorted(topics, key=lambda topic: topic.name)

    def _reader(self) -> Any:
        from rosbags.highlevel import AnyReader

        return AnyReader([self.path], default_typestore=self._types)

    def _survey(self) -> dict[str, ImageTopic]:
        """The topics of a bag without an index: all of it is read once."""
        kinds: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for record in self._salvaged(Problems()):
            kinds[record.topic] = record.type
            counts[record.topic] += 1
        return {name: ImageTopic(name, kind, counts[name]) for name, kind in kinds.items()}

    def _records(self, topics: Sequence[str]) -> Iterator[Record]:
        if self._damaged:
            yield from self._salvaged(self.problems)
            return
        newest, at_newest = -1, set[str]()  # rosbags gives them in the order of recording
        try:
            with self._reader() as reader:
                wanted = [c for c in reader.connections if c.topic in topics]
                for connection, received, data in reader.messages(wanted):
                    if received > newest:
                        newest, at_newest = received, set()
                    at_newest.add(connection.topic)
                    yield Record(connection.topic, connection.msgtype, received, data)
        except Exception as error:  # a chunk that cannot be unpacked, a page that is missing
            self.problems.note(DAMAGED, str(error))
            for record in self._salvaged(self.problems):
                if record.received > newest or (
                    record.received == newest and record.topic not in at_newest
                ):
                    yield record

    def _salvaged(self, problems: Problems) -> Iterator[Record]:
        folder = self.path.is_dir()
        files = sorted(self.path.iterdir()) if folder else [self.path]
        for file in files:
            if file.suffix in SALVAGE:
                yield from SALVAGE[file.suffix](file, problems)


def require_packages() -> None:
    """Raise `BagError` where the packages that read and write bags are not installed."""
    needed = ("rosbags", "mcap", "jinja2", "matplotlib")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise BagError(
            f"bags need {', '.join(missing)}, which this environment lacks: "
            "pip install -r requirements/replay.txt"
        )


def choose_topics(bag: Bag, names: Sequence[str] = ()) -> list[ImageTopic]:
    """One topic of images for each camera, raw rather than compressed; none of distances.

    Args:
        bag: whose.
        names: of those wanted; all if empty.

    Raises:
        BagError: a name that is no topic of images of the bag, or nothing is left.
    """
    for name in names:
        if name not in bag.topics:
            raise BagError(
                f"{bag.path}: no topic of images is called {name!r}; there are "
                f"{', '.join(bag.topics)}"
            )
    chosen: dict[str, ImageTopic] = {}
    # Raw ones first; of several that are alike, the first by name.
    for topic in sorted((bag.topics[n] for n in names or bag.topics), key=lambda t: t.type != RAW):
        if not names and "depth" in topic.name.lower():
            bag.problems.note("topic left out", f"{topic.name}, which seems to be of distances")
            continue
        taken = chosen.setdefault(topic.camera, topic)
        if taken.name != topic.name and (names or taken.type == topic.type):
            bag.problems.note("topic left out", f"{topic.name}, for {taken.name} is of its camera")
    if not chosen:
        raise BagError(f"{bag.path}: no topic of colour images: choose one with --topic")
    return sorted(chosen.values(), key=lambda topic: topic.name)


def _is_picture(topic: ImageTopic) -> bool:
    return topic.type in (RAW, COMPRESSED) and not topic.name.endswith(_NOT_COLOUR)
