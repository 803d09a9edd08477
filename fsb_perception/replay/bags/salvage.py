"""Reading of bags that rosbags refuses because they were cut short or are damaged.

A recorder that lost its power leaves an MCAP without its index, or a database whose last pages are
missing. Both are read from the front, up to where they end; a damaged chunk is skipped and counted.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fsb_perception.errors import error_line
from fsb_perception.problems import Problems
from fsb_perception.temporary import private_folder

if TYPE_CHECKING:
    from mcap.records import McapRecord


_JOURNALS = ("-journal", "-wal")
# Bytes; the size of a page stands at 16, their number at 28: sqlite.org/fileformat2.html
_SQLITE_HEADER = 100


class Record(NamedTuple):
    """A message as a bag stores it.

    Attributes:
        topic: its name.
        type: of the message, ``package/msg/Name``.
        received: when it was recorded, in nanoseconds.
        data: as CDR.

    >>> Record("/chat", "std_msgs/msg/String", 12, bytes(4)).topic
    '/chat'
    """

    topic: str
    type: str
    received: int
    data: bytes


Salvage = Callable[[Path, Problems], Iterator[Record]]


def salvage_mcap(path: Path, problems: Problems) -> Iterator[Record]:
    """Yield the messages of an MCAP file from the front, chunk by chunk, without its index."""
    from mcap.records import Channel, Message, Schema

    schemas: dict[int, str] = {}
    channels: dict[int, tuple[str, str]] = {}
    for record in itertools.chain(_named_at_the_end(path), _mcap_records(path, problems)):
        if isinstance(record, Schema):
            schemas[record.id] = record.name
        elif isinstance(record, Channel):
            channels[record.id] = record.topic, schemas.get(record.schema_id, "")
        elif isinstance(record, Message) and record.channel_id in channels:
            topic, kind = channels[record.channel_id]
            yield Record(topic, kind, record.log_time, record.data)
        elif isinstance(record, Message):
            place = f"{path.name}, channel {record.channel_id} at {record.log_time} ns"
            problems.note("message of a topic whose name is lost", place)


def _named_at_the_end(path: Path) -> list[McapRecord]:
    """Return the topics that the file's end repeats, for the chunk that names them may be lost."""
    from mcap.reader import make_reader

    try:
        with path.open("rb") as file:
            summary = make_reader(file).get_summary()
    except Exception:  # the end is missing or damaged as well
        return []
    return [*summary.schemas.values(), *summary.channels.values()] if summary else []


def _mcap_records(path: Path, problems: Problems) -> Iterator[McapRecord]:
    from mcap.stream_reader import StreamReader

    with path.open("rb") as file:
        records = StreamReader(file, skip_magic=False, emit_chunks=True).records
        while True:
            try:
                record = next(records)
            except StopIteration:
                return
            except Exception as error:  # the library's own, or struct's where a number is cut
                place = f"{path.name} at byte {file.tell():,}"
                problems.note("cut short", f"{place}: {error_line(error)}")
                return
            yield from _unpacked(record, path.name, problems)


def _unpacked(record: McapRecord, name: str, problems: Problems) -> list[McapRecord]:
    """Return the records of a chunk, none if it is damaged; any other record itself."""
    from mcap.records import Chunk
    from mcap.stream_reader import breakup_chunk

    if not isinstance(record, Chunk):
        return [record]
    try:
        return breakup_chunk(record, validate_crc=True)
    except Exception as error:  # whatever a decompressor makes of damaged bytes
        place = f"{name}, chunk from {record.message_start_time} ns on"
        problems.note("damaged chunk skipped", f"{place}: {error_line(error)}")
        return []


def salvage_sqlite(path: Path, problems: Problems) -> Iterator[Record]:
    """Yield the messages of a rosbag2 database in the order in which they lie there."""
    try:
        with _openable(path) as file:
            yield from _rows(file)
    except (sqlite3.DatabaseError, OSError) as error:
        problems.note("cut short", f"{path.name}: {error_line(error)}")


def _rows(path: Path) -> Iterator[Record]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        topics = {
            number: (name, kind)
            for number, name, kind in database.execute("SELECT id, name, type FROM topics")
        }
        # Unsorted: sorting would need the pages that are missing.
        for number, received, data in database.execute(
            "SELECT topic_id, timestamp, data FROM messages"
        ):
            if number in topics:
                yield Record(*topics[number], received, data)


@contextmanager
def _openable(path: Path) -> Iterator[Path]:
    """Give the file, or a temporary copy of it that SQLite can open.

    SQLite opens no file that is shorter than its header says: the copy has zeros for the missing
    pages. Where a recorder was killed, SQLite must play back the journal beside the file, which
    changes the file: this happens to the copy, and the recording stays as it is.
    """
    size = _size_in_header(path)
    is_short = size > path.stat().st_size
    journals = [p for end in _JOURNALS if (p := path.with_name(path.name + end)).exists()]
    if not is_short and not journals:
        yield path
        return
    with private_folder("fsb-salvage-") as folder:
        for original in (path, *journals):
            shutil.copyfile(original, folder / original.name)
        copy = folder / path.name
        if is_short:
            os.truncate(copy, size)  # makes it longer: the rest is a hole that takes no disk
        else:
            with closing(sqlite3.connect(copy)) as database:  # opened for writing, it recovers
                database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield copy


def _size_in_header(path: Path) -> int:
    """Return the bytes that a database should have; 0 if the file is too short for a header."""
    with path.open("rb") as file:
        header = file.read(_SQLITE_HEADER)
    if len(header) < _SQLITE_HEADER:
        return 0
    return int.from_bytes(header[16:18], "big") * int.from_bytes(header[28:32], "big")
