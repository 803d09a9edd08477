"""Records of runs: one JSON file each, from which every table is made."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsb_perception.errors import FsbError
from fsb_perception.files import write_whole
from fsb_perception.types import Floats
from fsb_training.experiments.plan import Cell

VERSION = 1


class RecordError(FsbError):
    """A record that cannot be used; the message names its file."""


@dataclass(frozen=True)
class Record:
    """The outcome of one run.

    Attributes:
        cell: the run: study, variant, system, tasks, seed and settings; see `Cell`.
        budget: faces, visits, size, rank, views and number format.
        origin: sha256 of the pretrained towers, and the recipe.
        parameters: numbers of all parameters, of the trained and of the added ones.
        cost: seconds and bytes to train, milliseconds a face by batch size, bytes of the weights
            and of the text tower.
        metrics: metrics by task, on the test part.
        hits: right or wrong answers for each labelled test face, by task; packed by `pack`.
        counts: numbers of faces by part and data set.
        maps: t-SNE maps of test faces and their labels, by task; packed by `pack_map`.
        version: version of this layout.
    """

    cell: Mapping[str, Any]
    budget: Mapping[str, Any]
    origin: Mapping[str, str]
    parameters: Mapping[str, int]
    cost: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, float]]
    hits: Mapping[str, str]
    counts: Mapping[str, Mapping[str, int]]
    maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    version: int = VERSION

    @property
    def system(self) -> str:
        """Name of the system, in `fsb_training.systems.SYSTEMS`."""
        return str(self.cell["system"])

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that were learned together."""
        return tuple(self.cell["tasks"])


def cell_entry(cell: Cell) -> dict[str, Any]:
    """Return a cell as a record holds it."""
    return {
        "study": cell.study,
        "variant": cell.variant,
        "system": cell.system,
        "tasks": list(cell.tasks),
        "seed": cell.seed,
        "settings": dict(cell.settings),
    }


def record_path(folder: Path, cell: Cell) -> Path:
    """Return the path of a cell's record."""
    return folder / f"{cell.name}.json"


def write(folder: Path, cell: Cell, record: Record) -> Path:
    """Write the record of a cell, whole or not at all, and return its path.

    Raises:
        FileError: the file cannot be written.
        ValueError: a number is NaN or infinite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = record_path(folder, cell)
    text = json.dumps(asdict(record), indent=1, sort_keys=True, allow_nan=False)
    write_whole(path, text + "\n")
    return path


def read(path: Path) -> Record:
    """Read a record.

    Raises:
        RecordError: the file is no record, or has another layout.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        record = Record(**tree)
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(f"{path} is no record of a sweep: {error}") from None
    if record.version != VERSION:
        raise RecordError(f"{path} has layout {record.version}, this FSB reads {VERSION}")
    return record


def read_all(folder: Path) -> list[Record]:
    """Read every record of a folder, in the order of the file names."""
    return [read(path) for path in sorted(folder.glob("*.json"))]


def require_same(paths: Iterable[Path], part: str, wanted: Mapping[str, Any]) -> None:
    """Require that records agree with the sweep that adds to them.

    Args:
        paths: files of the records.
        part: the attribute of `Record` that must agree.
        wanted: the values that it must hold.

    Raises:
        RecordError: a record has another value; the message names its file and both values.
    """
    for path in paths:
        values = getattr(read(path), part)
        for name, value in wanted.items():
            if values.get(name) != value:
                raise RecordError(
                    f"{path}: {part}.{name} is {values.get(name)!r}, this sweep has {value!r}; "
                    "keep its records in another folder: --records DIR --page FILE"
                )


def pack(hits: NDArray[np.bool_]) -> str:
    """Pack right and wrong answers as the bits of a text; `unpack` with their count undoes it."""
    return base64.b64encode(np.packbits(hits).tobytes()).decode("ascii")


def pack_map(xy: Floats, labels: NDArray[np.int64]) -> dict[str, str]:
    """Pack places (n, 2) and labels (n,) as text; `unpack_map` undoes it, to a thousandth."""
    return {
        "xy": base64.b64encode(xy.astype("<f2").tobytes()).decode("ascii"),
        "labels": base64.b64encode(labels.astype(np.uint8).tobytes()).decode("ascii"),
    }


def unpack_map(packed: Mapping[str, str]) -> tuple[Floats, NDArray[np.int64]]:
    """Return places (n, 2) and labels (n,) of a packed map."""
    xy = np.frombuffer(base64.b64decode(packed["xy"]), "<f2").astype(np.float32)
    labels = np.frombuffer(base64.b64decode(packed["labels"]), np.uint8)
    return xy.reshape(-1, 2), labels.astype(np.int64)


def unpack(text: str, count: int) -> NDArray[np.bool_]:
    """Return the first ``count`` bits of a packed row.

    >>> unpack(pack(np.array([True, False, True])), 3)
    array([ True, False,  True])
    """
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))[:count].astype(bool)
