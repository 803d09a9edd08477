"""A rosbag2 that is being written while messages come."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.bags.storages import MCAP, new_writer
from fsb_perception.replay.recording.backlog import MEGABYTE, ReceivedMessage
from fsb_perception.replay.recording.installed_types import InstalledTypes

if TYPE_CHECKING:
    from rosbags.interfaces import Connection, Qos

_RESERVE = 64 * MEGABYTE  # of the disk: for the index of the bag, and for other programs
_COMMIT_EVERY = 1.0  # s


class RecordedBag:
    """A bag to write to, in a ``with`` block; it is whole once the block has ended without error.

    A recorder that is killed loses only the end of the bag, in either storage.

    Args:
        folder: of the bag, which must not be there.
        storage: a name in `STORAGES`.

    Attributes:
        folder: as given.
        messages: number written, by topic.
        bytes: number written, by topic.

    Raises:
        BagError: there is something at that place, or it cannot be written to.
        UnknownNameError: no such storage.
    """

    def __init__(self, folder: Path, storage: str = MCAP) -> None:
        self.folder = folder
        self.messages: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self._writer = new_writer(folder, storage)
        self._types = InstalledTypes()
        self._connections: dict[str, Connection] = {}
        self._committed = time.monotonic()
        try:
            self._writer.open()
        except (OSError, sqlite3.Error) as error:
            raise BagError(f"{folder} cannot be written: {error}; name another folder") from error

    def __enter__(self) -> RecordedBag:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            self._writer.close()
        except (OSError, sqlite3.Error) as cause:
            with suppress(OSError, sqlite3.Error):
                self._writer.abort()
            if kind is None:
                raise BagError(
                    f"{self.folder} could not be completed: {cause}. fsb replay run reads it as "
                    "far as it goes"
                ) from cause
        if not self.messages:
            shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, topic: str, kind: str, offered: Sequence[Qos] = ()) -> None:
        """Prepare for the messages of a topic.

        Args:
            topic: its name.
            kind: its type, for instance ``sensor_msgs/msg/Image``.
            offered: quality of service of its publishers; a player offers the same.

        Raises:
            BagError: the definition of the type is not installed.
        """
        self._types.add(kind)
        self._connections[topic] = self._writer.add_connection(
            topic, kind, typestore=self._types.store, offered_qos_profiles=offered
        )

    def write(self, message: ReceivedMessage) -> str:
        """Write a message of a topic that was added.

        Returns:
            The reason why it cannot be written; empty if it was.
        """
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
        """Commit now and then: SQLite takes back all since, when it is killed or a write fails."""
        if time.monotonic() - self._committed > _COMMIT_EVERY:
            self._committed = time.monotonic()
            database = getattr(self._writer.storage, "conn", None)
            if database is not None:
                database.commit()
