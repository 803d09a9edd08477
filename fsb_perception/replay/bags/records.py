"""The records of a bag: rosbags reads them; where it fails, `salvage` reads what is left.

    files --> rosbags ---------------> records
                 | an error              |
                 +--> salvage -----------+

The tally of problems says which part could not be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsb_perception.problems import Problems
from fsb_perception.replay.bags.message_types import ros_types
from fsb_perception.replay.bags.packed import unpacked
from fsb_perception.replay.bags.salvage import Record
from fsb_perception.replay.bags.storages import STORAGE_OF_SUFFIX, STORAGES, bag_files
from fsb_perception.replay.bags.topics import is_image_type

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

DAMAGED = "bag is damaged and read as far as it goes"


@dataclass(frozen=True)
class TopicSize:
    """A topic in the bag's index.

    Attributes:
        type: of its messages.
        count: number of its messages.
        first: data of its first message, for images; empty where that cannot be read.
    """

    type: str
    count: int
    first: bytes = b""


class Records:
    """The records of a bag, as far as they can be read.

    Args:
        path: folder of a rosbag2, or one of its files.
        problems: takes what cannot be read.

    Attributes:
        topics: of any type, by name.
        damage: the reasons why the bag could not be read as it is; empty where it could.
    """

    def __init__(self, path: Path, problems: Problems) -> None:
        self._path = path
        self._problems = problems
        self._files: list[Path] = []  # in the order of recording, once they are salvaged
        self.damage = ""
        try:
            self.topics = self._listed()
        except Exception as error:  # rosbags passes on whatever the storage raises
            self.damage = self._reason(error)
            problems.note(DAMAGED, self.damage)
            self.topics = self._counted()

    def read(self, topics: Collection[str]) -> Iterator[Record]:
        """Yield the records of topics in the order in which they were recorded."""
        delivered = _Delivered()
        if not self.damage:
            try:
                yield from map(delivered.noted, self._indexed(topics))
                return
            except Exception as error:  # a chunk that cannot be unpacked, a page that is missing
                self._problems.note(DAMAGED, self._reason(error))
        for record in self._salvaged(self._problems):
            if record.topic in topics and record not in delivered:
                yield record

    def _reason(self, error: Exception) -> str:
        metadata = self._path / "metadata.yaml"
        if self._path.is_dir() and not metadata.exists():  # rosbags names the folder
            return f"{metadata} is missing"
        return str(error) or type(error).__name__

    def _open(self) -> AnyReader:
        from rosbags.highlevel import AnyReader

        return AnyReader([self._path], default_typestore=ros_types())

    def _listed(self) -> dict[str, TopicSize]:
        with self._open() as reader:
            connections: dict[str, list[Connection]] = {}
            for connection in reader.connections:  # a topic has one for each of its publishers
                connections.setdefault(connection.topic, []).append(connection)
            return {
                topic: TopicSize(
                    same[0].msgtype,
                    sum(connection.msgcount for connection in same),
                    _first(reader, same) if is_image_type(same[0].msgtype) else b"",
                )
                for topic, same in connections.items()
            }

    def _counted(self) -> dict[str, TopicSize]:
        """Read all of a bag that has no index, once, to count its messages."""
        first: dict[str, Record] = {}
        counts: Counter[str] = Counter()
        problems = Problems()  # `read` will count them
        for record in self._salvaged(problems):
            first.setdefault(record.topic, record)
            counts[record.topic] += 1
        self.damage = "; ".join((self.damage, *problems.first.values()))
        return {
            topic: TopicSize(record.type, counts[topic], record.data)
            for topic, record in first.items()
        }

    def _indexed(self, topics: Collection[str]) -> Iterator[Record]:
        with self._open() as reader:
            wanted = [c for c in reader.connections if c.topic in topics]
            for connection, received, data in reader.messages(wanted):
                yield Record(connection.topic, connection.msgtype, received, unpacked(data))

    def _salvaged(self, problems: Problems) -> Iterator[Record]:
        self._files = self._files or self._in_order()
        for file in self._files:
            for record in _records_of(file, problems):
                yield record._replace(data=unpacked(record.data))

    def _in_order(self) -> list[Path]:
        """Return the bag's files by their first record: by name, rec_10 lies before rec_2."""
        begun: dict[Path, float] = {}
        files = bag_files(self._path)
        for file in files if len(files) > 1 else ():
            with closing(_records_of(file, Problems())) as records:
                record = next(records, None)
            begun[file] = record.received if record else float("inf")
        return sorted(files, key=lambda file: begun.get(file, 0.0))


def _records_of(file: Path, problems: Problems) -> Generator[Record, None, None]:
    if file.suffix in STORAGE_OF_SUFFIX:
        yield from STORAGES[STORAGE_OF_SUFFIX[file.suffix]].salvage(file, problems)


def _first(reader: AnyReader, connections: Collection[Connection]) -> bytes:
    try:
        return next((unpacked(data) for _, _, data in reader.messages(connections)), b"")
    except Exception:  # damaged; the reader of the topic reports it
        return b""


class _Delivered:
    """The records that rosbags gave before it failed: it gives them in the order of recording."""

    def __init__(self) -> None:
        self._newest = -1
        self._topics_at_newest: set[str] = set()

    def noted(self, record: Record) -> Record:
        if record.received > self._newest:
            self._newest, self._topics_at_newest = record.received, set()
        self._topics_at_newest.add(record.topic)
        return record

    def __contains__(self, record: Record) -> bool:
        if record.received == self._newest:
            return record.topic in self._topics_at_newest
        return record.received < self._newest
