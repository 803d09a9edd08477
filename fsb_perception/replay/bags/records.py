"""The records of a bag: rosbags reads them; where it fails, `salvage` reads what is left.

    files --> rosbags ---------------> records
                 | an error              |
                 +--> salvage -----------+

The tally of problems says which part could not be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsb_perception.problems import Problems
from fsb_perception.replay.bags.message_types import ros_types
from fsb_perception.replay.bags.salvage import Record
from fsb_perception.replay.bags.storages import STORAGE_OF_SUFFIX, STORAGES, bag_files

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

DAMAGED = "bag is damaged and read as far as it goes"


@dataclass(frozen=True)
class TopicSize:
    """The type of a topic, and the number of messages that it has by the bag's index."""

    type: str
    count: int


class Records:
    """The records of a bag, as far as they can be read.

    Args:
        path: folder of a rosbag2, or one of its files.
        problems: takes what cannot be read.

    Attributes:
        topics: of any type, by name.
    """

    def __init__(self, path: Path, problems: Problems) -> None:
        self._path = path
        self._problems = problems
        self._is_damaged = False
        try:
            self.topics = self._listed()
        except Exception as error:  # rosbags passes on whatever the storage raises
            self._is_damaged = True
            problems.note(DAMAGED, str(error))
            self.topics = self._counted()

    def read(self, topics: Collection[str]) -> Iterator[Record]:
        """Yield the records of topics in the order in which they were recorded."""
        delivered = _Delivered()
        if not self._is_damaged:
            try:
                yield from map(delivered.noted, self._indexed(topics))
                return
            except Exception as error:  # a chunk that cannot be unpacked, a page that is missing
                self._problems.note(DAMAGED, str(error))
        for record in self._salvaged(self._problems):
            if record.topic in topics and record not in delivered:
                yield record

    def _open(self) -> AnyReader:
        from rosbags.highlevel import AnyReader

        return AnyReader([self._path], default_typestore=ros_types())

    def _listed(self) -> dict[str, TopicSize]:
        with self._open() as reader:
            return {c.topic: TopicSize(c.msgtype, c.msgcount) for c in reader.connections}

    def _counted(self) -> dict[str, TopicSize]:
        """Read all of a bag that has no index, once, to count its messages."""
        types: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for record in self._salvaged(Problems()):  # `read` will count what is wrong
            types[record.topic] = record.type
            counts[record.topic] += 1
        return {topic: TopicSize(types[topic], count) for topic, count in counts.items()}

    def _indexed(self, topics: Collection[str]) -> Iterator[Record]:
        with self._open() as reader:
            wanted = [c for c in reader.connections if c.topic in topics]
            for connection, received, data in reader.messages(wanted):
                yield Record(connection.topic, connection.msgtype, received, data)

    def _salvaged(self, problems: Problems) -> Iterator[Record]:
        for file in bag_files(self._path):
            if file.suffix in STORAGE_OF_SUFFIX:
                yield from STORAGES[STORAGE_OF_SUFFIX[file.suffix]].salvage(file, problems)


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
