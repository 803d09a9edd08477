"""The annotation messages of a bag: CDR of any version of the schema, or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fsb_perception.replay.bags.errors import require_packages
from fsb_perception.replay.bags.message_types import ANNOTATIONS, all_types
from fsb_perception.replay.truth.statements import TruthError

if TYPE_CHECKING:
    from mcap.records import Channel, Schema

_ENDING = "annotations"
_NAMES = (ANNOTATIONS, "foxglove.ImageAnnotations", "foxglove_msgs/ImageAnnotations")


class Drawn(NamedTuple):
    """A message of annotations.

    Attributes:
        topic: ``/CAMERA/annotations``.
        received: when it was recorded, in nanoseconds.
        message: with the fields of the schema, as attributes or as a dictionary.
    """

    topic: str
    received: int
    message: Any

    @property
    def camera(self) -> str:
        """Whose images they are of.

        >>> Drawn("/head/front/annotations", 0, {}).camera
        'head/front'
        """
        return self.topic.strip("/").removesuffix(_ENDING).strip("/")


def drawn_annotations(path: Path) -> Iterator[Drawn]:
    """The messages of every ``/CAMERA/annotations`` of a bag, file by file.

    Args:
        path: folder of a rosbag2, or one of its ``.mcap`` or ``.db3`` files.

    Raises:
        TruthError: no such bag or topic, an encoding that is not read, or a damaged file.
        BagError: the packages that read bags are missing.
    """
    require_packages()
    others: set[str] = set()
    count = 0
    for file in _files(path):
        for drawn in _read(file, others):
            count += 1
            yield drawn
    if not count:
        there = ", ".join(sorted(others)) or "no topic at all"
        raise TruthError(
            f"{path}: no message of {ANNOTATIONS} on a topic /CAMERA/annotations; it holds {there}"
        )


def _read(file: Path, others: set[str]) -> Iterator[Drawn]:
    try:
        yield from _READERS[file.suffix](file, others)
    except TruthError:
        raise
    except Exception as error:  # whatever the storage raises for what is no whole file
        said = str(error) or type(error).__name__
        raise TruthError(f"{file} cannot be read to its end: {said}") from error


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise TruthError(f"{path}: there is no such file or folder")
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in _READERS)
    if not files:
        raise TruthError(f"{path}: no {' or '.join(_READERS)} file in this folder")
    return files


def _is_wanted(topic: str, kind: str) -> bool:
    return kind in _NAMES and topic.split("/")[-1] == _ENDING


def _from_sqlite(path: Path, others: set[str]) -> Iterator[Drawn]:
    from rosbags.highlevel import AnyReader

    with AnyReader([path], default_typestore=all_types()) as reader:
        wanted = [c for c in reader.connections if _is_wanted(c.topic, c.msgtype)]
        others.update(c.topic for c in reader.connections)
        for connection, received, data in reader.messages(wanted) if wanted else ():
            message = reader.deserialize(data, connection.msgtype)
            yield Drawn(connection.topic, received, message)


def _from_mcap(path: Path, others: set[str]) -> Iterator[Drawn]:
    """With the library of MCAP: rosbags refuses files in which one topic is no CDR."""
    from mcap.reader import make_reader

    with path.open("rb") as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        topics: list[str] | None = None  # without a summary all is looked through
        if summary:
            others.update(channel.topic for channel in summary.channels.values())
            topics = [topic for topic in others if topic.split("/")[-1] == _ENDING]
        for schema, channel, message in reader.iter_messages(topics):
            others.add(channel.topic)
            if schema and _is_wanted(channel.topic, schema.name):
                decode = _decoder(path, schema, channel)
                yield Drawn(channel.topic, message.log_time, decode(message.data))


def _decoder(path: Path, schema: Schema, channel: Channel) -> Callable[[bytes], Any]:
    encoding = channel.message_encoding
    if encoding == "json":
        return json.loads
    if encoding == "cdr":
        types = _types(schema.encoding, schema.data.decode())
        return lambda data: types.deserialize_cdr(data, ANNOTATIONS)
    raise TruthError(
        f"{path}: {channel.topic} is encoded as {encoding!r}; read are cdr and json: record it "
        "as foxglove_msgs/msg/ImageAnnotations in ROS 2, or write the truth as .jsonl"
    )


@lru_cache(maxsize=8)
def _types(encoding: str, text: str) -> Any:
    """Rosbags' typestore for a definition as a bag has it, or for ours where it has none."""
    from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

    if not text.strip():
        return all_types()
    if encoding == "ros2idl":
        found = get_types_from_idl(text)
    else:
        found = get_types_from_msg(text, ANNOTATIONS)
    types = get_typestore(Stores.EMPTY)
    types.register(found)
    return types


_READERS: dict[str, Callable[[Path, set[str]], Iterator[Drawn]]] = {
    ".mcap": _from_mcap,
    ".db3": _from_sqlite,
}
