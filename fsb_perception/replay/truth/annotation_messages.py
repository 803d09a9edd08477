"""The annotation messages of a bag: CDR of any version of the schema, or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fsb_perception.errors import FsbError, error_line
from fsb_perception.replay.bags.errors import require_packages
from fsb_perception.replay.bags.message_types import ANNOTATIONS, all_types
from fsb_perception.replay.bags.storages import MCAP, STORAGE_OF_SUFFIX, bag_files
from fsb_perception.replay.truth.statements import TruthError

if TYPE_CHECKING:
    from mcap.records import Channel, Schema
    from rosbags.typesys.store import Typestore

_ENDING = "annotations"
_NAMES = (ANNOTATIONS, "foxglove.ImageAnnotations", "foxglove_msgs/ImageAnnotations")


class DrawnMessage(NamedTuple):
    """A message of annotations.

    Attributes:
        topic: ``/CAMERA/annotations``.
        received: when it was recorded, in nanoseconds.
        message: with the fields of the schema, as attributes or as a dictionary.
    """

    topic: str
    received: int
    message: object

    @property
    def camera(self) -> str:
        """The camera that the images are of.

        >>> DrawnMessage("/head/front/annotations", 0, {}).camera
        'head/front'
        """
        return self.topic.strip("/").removesuffix(_ENDING).strip("/")


def drawn_messages(path: Path) -> Iterator[DrawnMessage]:
    """Yield the messages of every ``/CAMERA/annotations`` of a bag, file by file.

    Args:
        path: folder of a rosbag2, or one of its ``.mcap`` or ``.db3`` files.

    Raises:
        TruthError: no such bag or topic, an encoding that is not read, or a damaged file.
        BagError: the packages that read bags are missing.
    """
    require_packages()
    topics: set[str] = set()
    count = 0
    for file in _files(path):
        for drawn in _read(file, topics):
            count += 1
            yield drawn
    if not count:
        there = ", ".join(sorted(topics)) or "no topic at all"
        raise TruthError(
            f"{path}: no message of {ANNOTATIONS} on a topic /CAMERA/annotations; it holds {there}"
        )


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise TruthError(f"{path}: there is no such file or folder")
    files = bag_files(path)
    if not files:
        raise TruthError(f"{path}: no {' or '.join(STORAGE_OF_SUFFIX)} file in this folder")
    return files


def _read(file: Path, topics: set[str]) -> Iterator[DrawnMessage]:
    """Yield the messages of a file, and add the names of all of its topics to ``topics``."""
    is_mcap = STORAGE_OF_SUFFIX[file.suffix] == MCAP
    try:
        yield from (_from_mcap if is_mcap else _from_rosbags)(file, topics)
    except FsbError:
        raise
    except Exception as error:  # whatever the storage raises for what is no whole file
        raise TruthError(f"{file} cannot be read to its end: {error_line(error)}") from error


def _is_wanted(topic: str, kind: str) -> bool:
    return kind in _NAMES and topic.split("/")[-1] == _ENDING


def _from_rosbags(path: Path, topics: set[str]) -> Iterator[DrawnMessage]:
    from rosbags.highlevel import AnyReader

    with AnyReader([path], default_typestore=all_types()) as reader:
        wanted = [c for c in reader.connections if _is_wanted(c.topic, c.msgtype)]
        topics.update(c.topic for c in reader.connections)
        for connection, received, data in reader.messages(wanted) if wanted else ():
            message = reader.deserialize(data, connection.msgtype)
            yield DrawnMessage(connection.topic, received, message)


def _from_mcap(path: Path, topics: set[str]) -> Iterator[DrawnMessage]:
    """Read with the library of MCAP: rosbags refuses files in which one topic is no CDR."""
    from mcap.reader import make_reader

    with path.open("rb") as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        wanted: list[str] | None = None  # without a summary all messages are read
        if summary:
            topics.update(channel.topic for channel in summary.channels.values())
            wanted = [topic for topic in topics if topic.split("/")[-1] == _ENDING]
        for schema, channel, message in reader.iter_messages(wanted):
            topics.add(channel.topic)
            if schema and _is_wanted(channel.topic, schema.name):
                decode = _decoder(path, schema, channel)
                yield DrawnMessage(channel.topic, message.log_time, decode(message.data))


def _decoder(path: Path, schema: Schema, channel: Channel) -> Callable[[bytes], object]:
    encoding = channel.message_encoding
    if encoding == "json":
        return json.loads
    if encoding == "cdr":
        types = _types(schema.encoding, schema.data.decode())
        return lambda data: types.deserialize_cdr(data, ANNOTATIONS)
    raise TruthError(
        f"{path}: {channel.topic} is encoded as {encoding!r}, not cdr or json: record it "
        "as foxglove_msgs/msg/ImageAnnotations in ROS 2, or write the truth as .jsonl"
    )


@lru_cache(maxsize=8)
def _types(encoding: str, text: str) -> Typestore:
    """Return the typestore of a definition in a bag, or of ours where the bag has none."""
    from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

    if not text.strip():
        return all_types()
    if encoding == "ros2idl":
        definitions = get_types_from_idl(text)
    else:
        definitions = get_types_from_msg(text, ANNOTATIONS)
    types = get_typestore(Stores.EMPTY)
    types.register(definitions)
    return types
