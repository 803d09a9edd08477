"""The storages of rosbag2: a literal table of file suffixes and readers, and one way to write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from fsb_perception.registry import Registry
from fsb_perception.replay.bags.errors import BagError, require_packages
from fsb_perception.replay.bags.salvage import Salvage, salvage_mcap, salvage_sqlite

if TYPE_CHECKING:
    from rosbags.rosbag2 import Writer


class Storage(NamedTuple):
    """A file format of rosbag2.

    Attributes:
        suffix: of its files.
        plugin: its name among ``rosbags.rosbag2.StoragePlugin``.
        salvage: reads such a file from the front, even if it is damaged.

    >>> STORAGES["sqlite3"].suffix
    '.db3'
    """

    suffix: str
    plugin: str
    salvage: Salvage


MCAP, SQLITE = "mcap", "sqlite3"
STORAGES = Registry(
    "storage",
    {
        MCAP: Storage(".mcap", "MCAP", salvage_mcap),
        SQLITE: Storage(".db3", "SQLITE3", salvage_sqlite),
    },
)
"""By rosbag2's storage identifier."""

STORAGE_OF_SUFFIX = {storage.suffix: name for name, storage in STORAGES.items()}
_VERSION: Final = 9  # of rosbag2's metadata


def is_bag(path: Path) -> bool:
    """Return whether a path is that of a bag: a folder, or a file of one of the storages.

    >>> is_bag(Path("kitchen.mcap")), is_bag(Path("truth.csv"))
    (True, False)
    """
    return path.is_dir() or path.suffix in STORAGE_OF_SUFFIX


def bag_files(path: Path) -> list[Path]:
    """Return the files that hold a bag's messages, by name; the path itself if it is a file.

    The shadow files of a Mac, ``._NAME``, hold no messages.
    """
    if not path.is_dir():
        return [path]
    return sorted(
        file
        for file in path.iterdir()
        if file.suffix in STORAGE_OF_SUFFIX and not file.name.startswith("._")
    )


def bag_name(path: Path) -> str:
    """Return the name of a bag: that of its folder, or of its file without the suffix.

    >>> bag_name(Path("runs/kitchen.mcap")), bag_name(Path("runs/hall.v2"))
    ('kitchen', 'hall.v2')
    """
    return path.stem if path.suffix in STORAGE_OF_SUFFIX else path.resolve().name


def check_new(folder: Path, storage: str = MCAP) -> None:
    """Raise an error where no bag can be begun.

    Raises:
        BagError: there is something at that place.
        UnknownNameError: no such storage.
    """
    STORAGES[storage]  # an unknown one raises
    if folder.exists():
        raise BagError(f"{folder} is there already and is not overwritten: name another folder")


def new_writer(folder: Path, storage: str = MCAP) -> Writer:
    """Build rosbags' writer for a bag that is not there yet; it still has to be opened.

    Raises:
        BagError: there is something at that place, or rosbags is missing.
        UnknownNameError: no such storage.
    """
    check_new(folder, storage)
    require_packages()
    from rosbags.rosbag2 import StoragePlugin

    from fsb_perception.replay.bags.checked_writer import CheckedWriter

    plugin = StoragePlugin[STORAGES[storage].plugin]
    return CheckedWriter(folder, version=_VERSION, storage_plugin=plugin)


@contextmanager
def writing(folder: Path, storage: str = MCAP) -> Iterator[Writer]:
    """Open a new bag for a ``with`` block, and complete it at the block's end.

    Raises:
        BagError: there is something at that place, or it cannot be written.
        UnknownNameError: no such storage.
    """
    writer = new_writer(folder, storage)
    from rosbags.rosbag2.errors import WriterError

    try:
        with writer:
            yield writer
    except (WriterError, OSError, sqlite3.Error) as error:
        raise BagError(f"{folder} cannot be written: {error}; name another folder") from error
