"""A rosbag2 that is being written: what is in it, and whether there is room for more."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from fsb_perception.replay.bags.installed_types import InstalledTypes
from fsb_perception.replay.bags.reader import BagError, require_packages

MEGABYTE = 1_000_000
_RESERVE = 64 * MEGABYTE  # of the disk: the index must still fit, and other programs want to live
_COMMIT_EVERY = 1.0  # s
_MOST_WAITING = 256 * MEGABYTE


@dataclass(frozen=True)
class Heard:
    """A message as it came.

    Attributes:
        topic: where it was published.
        received: when it came, in nanoseconds of the system's clock.
        data: CDR, with its head of four bytes.
    """

    topic: str
    received: int
    data: bytes


class Backlog:
    """Messages between the thread that hears them and the one that writes them, first in first out.

    Args:
        most_bytes: that may wait. What comes when it is full is lost and counted: a disk that is
            too slow must not fill the memory.

    Attributes:
        lost: messages by topic, here and on the way here.
    """

    def __init__(self, most_bytes: int = _MOST_WAITING) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._waiting: deque[Heard] = deque()
        self._changed = threading.Condition()
        self.lost: Counter[str] = Counter()

    def put(self, message: Heard) -> None:
        """Take in a message, or count it as lost."""
        with self._changed:
            if self._waiting and self._bytes + len(message.data) > self._most:
                self.lost[message.topic] += 1
                return
            self._bytes += len(message.data)
            self._waiting.append(message)
            self._changed.notify()

    def get(self, seconds: float = 0.0) -> Heard | None:
        """The oldest message; None if none comes in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, seconds):
                return None
            message = self._waiting.popleft()
            self._bytes -= len(message.data)
            return message


class Recording:
    """A bag to write to, in a ``with`` block; left without an error, it is whole.

    Args:
        folder: of the bag, which must not be there.
        storage: mcap or sqlite3. Of either, a recorder that is killed loses the end alone.

    Attributes:
        folder: as given.
        messages: written, by topic.
        bytes: likewise.

    Raises:
        BagError: there is something at that place, or it cannot be written to.
    """

    def __init__(self, folder: Path, storage: str = "mcap") -> None:
        refuse(folder, storage)
        from rosbags.rosbag2 import Writer
        from rosbags.rosbag2.errors import WriterError

        self.folder = folder
        self.messages: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self._types = InstalledTypes()
        self._connections: dict[str, Any] = {}
        self._committed = time.monotonic()
        self._writer = Writer(folder, version=9, storage_plugin=_plugins()[storage])
        try:
            self._writer.open()
        except (WriterError, OSError, sqlite3.Error) as error:
            raise BagError(f"{folder} cannot be written: {error}") from error

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            self._writer.close()
        except (OSError, sqlite3.Error) as why:
            with suppress(OSError, sqlite3.Error):
                self._writer.abort()
            if kind is None:
                raise BagError(
                    f"{self.folder} could not be ended: {why}. fsb replay run reads it as far as "
                    "it goes"
                ) from why
        if not self.messages:
            shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, topic: str, kind: str, offered: Sequence[Any] = ()) -> None:
        """Prepare for a topic.

        Args:
            topic: its name.
            kind: its type, as ``sensor_msgs/msg/Image``.
            offered: quality of service of its publishers, as ``rosbags.interfaces.Qos``; a player
                offers the same.

        Raises:
            BagError: the definition of the type is not installed.
        """
        self._types.add(kind)
        self._connections[topic] = self._writer.add_connection(
            topic, kind, typestore=self._types.store, offered_qos_profiles=offered
        )

    def write(self, message: Heard) -> str:
        """Write a message of a topic that was added; why it cannot be written, empty if it was."""
        free = shutil.disk_usage(self.folder).free
        if free < _RESERVE + len(message.data):
            return f"the disk is full: {free / MEGABYTE:,.0f} MB are left at {self.folder}"
        try:
            self._writer.write(self._connections[message.topic], message.received, message.data)
            self._commit()
        except (OSError, sqlite3.Error) as error:
            return f"{self.folder} takes no more: {error}"
        self.messages[message.topic] += 1
        self.bytes[message.topic] += len(message.data)
        return ""

    def _commit(self) -> None:
        """SQLite would else take back the whole recording when it is killed, or a write fails."""
        if time.monotonic() - self._committed > _COMMIT_EVERY:
            self._committed = time.monotonic()
            database = getattr(self._writer.storage, "conn", None)
            if database is not None:
                database.commit()


def refuse(folder: Path, storage: str) -> None:
    """Raise `BagError` where no bag can be begun."""
    if storage not in _plugins():
        raise BagError(f"storage: got {storage!r}, must be {' or '.join(_plugins())}")
    if folder.exists():
        raise BagError(f"{folder} is there already, and no recording is overwritten: name another")


def _plugins() -> dict[str, Any]:
    require_packages()
    from rosbags.rosbag2 import StoragePlugin

    return {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
