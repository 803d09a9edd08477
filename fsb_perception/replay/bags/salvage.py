"""What can still be read of a bag that rosbags refuses: one that was cut short, or is damaged.

A recorder that lost its power leaves an MCAP without its index, or a database whose last pages are
missing. Both are read from the front, up to where they end; a damaged chunk is skipped and counted.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fsb_perception.problems import Problems

if TYPE_CHECKING:
    from mcap.records import McapRecord


_JOURNALS = ("-journal", "-wal")
_SQLITE_HEAD = 100  # bytes; size of a page at 16, their number at 28: sqlite.org/fileformat2.html


class Record(NamedTuple):
    """A message as it lies in a bag.

    Attributes:
        topic: its name.
        type: of the message, ``package/msg/Name``.
        received: when it was recorded, in nanoseconds.
        data: as CDR.
    """

    topic: str
    type: str
    received: int
    data: bytes


Salvage = Callable[[Path, Problems], Iterator[Record]]


def salvage_mcap(path: Path, problems: Problems) -> Iterator[Record]:
    """The messages of an MCAP file from the front, chunk by chunk, without its index."""
    from mcap.records import Channel, Message, Schema
    from mcap.stream_reader import StreamReader

    schemas: dict[int, str] = {}
    channels: dict[int, tuple[str, str]] = {}
    with path.open("rb") as file:
        records = StreamReader(file, skip_magic=False, emit_chunks=True).records
        while True:
            try:
                record = next(records)
            except StopIteration:
                return
            except Exception as error:  # the library's own, or struct's where a number is cut
                problems.note("cut short", f"{path.name} at byte {file.tell():,}: {_said(error)}")
                return
            for each in _inside(record, path.name, problems):
                if isinstance(each, Schema):
                    schemas[each.id] = each.name
                elif isinstance(each, Channel):
                    channels[each.id] = each.topic, schemas.get(each.schema_id, "")
                elif isinstance(each, Message) and each.channel_id in channels:
                    topic, kind = channels[each.channel_id]
                    yield Record(topic, kind, each.log_time, each.data)


def _inside(record: McapRecord, name: str, problems: Problems) -> list[McapRecord]:
    """The records of a chunk, none if it is damaged; any other record itself."""
    from mcap.records import Chunk
    from mcap.stream_reader import breakup_chunk

    if not isinstance(record, Chunk):
        return [record]
    try:
        return breakup_chunk(record, validate_crc=True)
    except Exception as error:  # whatever a decompressor makes of damaged bytes
        when = f"{name}, chunk from {record.message_start_time} ns on"
        problems.note("damaged chunk skipped", f"{when}: {_said(error)}")
        return []


def salvage_sqlite(path: Path, problems: Problems) -> Iterator[Record]:
    """The messages of a rosbag2 database in the order in which they lie there."""
    with _whole_length(path) as whole:
        try:
            yield from _rows(whole)
        except sqlite3.DatabaseError as error:
            problems.note("cut short", f"{path.name}: {_said(error)}")


def _rows(path: Path) -> Iterator[Record]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        topics = {
            number: (name, kind)
            for number, name, kind in database.execute("SELECT id, name, type FROM topics")
        }
        # Sorted, it would need the pages that are missing.
        for number, received, data in database.execute(
            "SELECT topic_id, timestamp, data FROM messages"
        ):
            if number in topics:
                yield Record(*topics[number], received, data)


@contextmanager
def _whole_length(path: Path) -> Iterator[Path]:
    """The file, or a copy that SQLite can open.

    It opens nothing that is shorter than its head says: a copy has zeros for the missing pages. And
    where a recorder was killed, the journal beside the file must be played back, which changes it:
    the recording itself is left as it is.
    """
    with path.open("rb") as file:
        head = file.read(_SQLITE_HEAD)
    size = int.from_bytes(head[16:18], "big") * int.from_bytes(head[28:32], "big")
    short = len(head) == _SQLITE_HEAD and size > path.stat().st_size
    beside = [p for end in _JOURNALS if (p := path.with_name(path.name + end)).exists()]
    if not short and not beside:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="fsb_salvage_") as folder:
        copy = Path(folder) / path.name
        for file_to_copy in (path, *beside):
            shutil.copyfile(file_to_copy, Path(folder) / file_to_copy.name)
        if short:
            os.truncate(copy, size)  # longer: the rest is a hole that takes no disk
        else:
            with closing(sqlite3.connect(copy)) as database:  # opened for writing, it recovers
                database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield copy


SALVAGE: dict[str, Salvage] = {".mcap": salvage_mcap, ".db3": salvage_sqlite}
"""By the ending of a bag's file."""


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
