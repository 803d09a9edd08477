"""What is kept of a run: one JSON file, from which every table is made again."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsb_perception.options import OptionError
from fsb_perception.types import Floats
from fsb_training.experiments.plan import Cell

VERSION = 1


class RecordError(OptionError):
    """A record that cannot be used; the message names its file."""


@dataclass(frozen=True)
class Record:
    """One run's outcome.

    Attributes:
        cell: which run: study, variant, system, tasks, seed.
        budget: what it was given: faces, visits, size, rank, views, threads.
        origin: fingerprints of the split, the pretrained weights and the recipe.
        parameters: total, trained and added, in numbers.
        cost: seconds to train, bytes to train, milliseconds a face by batch size, bytes on disk,
            bytes of the towers with and without text.
        metrics: by task, on the test part.
        hits: by task, whether each test face with a label was right; packed (`pack`).
        counts: faces of each part and data set.
        maps: by task, a t-SNE map of test faces and their labels; packed (`pack_map`).
        version: of this layout.
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
        """Name in `fsb_training.systems.SYSTEMS`."""
        return str(self.cell["system"])

    @property
    def tasks(self) -> tuple[str, ...]:
        """Learned together."""
        return tuple(self.cell["tasks"])


def cell_entry(cell: Cell) -> dict[str, Any]:
    """A cell as a record keeps it."""
    return {
        "study": cell.study,
        "variant": cell.variant,
        "system": cell.system,
        "tasks": list(cell.tasks),
        "seed": cell.seed,
        "settings": dict(cell.settings),
    }


def record_path(folder: Path, cell: Cell) -> Path:
    """Where the record of a cell is, or will be."""
    return folder / f"{cell.name}.json"


def write(folder: Path, cell: Cell, record: Record) -> Path:
    """Keep a record; to another name first, so that a kill leaves none that is half."""
    folder.mkdir(parents=True, exist_ok=True)
    path = record_path(folder, cell)
    partial = path.with_suffix(".partial")
    text = json.dumps(asdict(record), indent=1, sort_keys=True, allow_nan=False)
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, path)
    return path


def read(path: Path) -> Record:
    """A record from its file.

    Raises:
        RecordError: it is no record, or of another layout.
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
    """Every record of a folder, by file name."""
    return [read(path) for path in sorted(folder.glob("*.json"))]


def require_same(paths: Iterable[Path], part: str, wanted: Mapping[str, Any]) -> None:
    """Refuse to go on from records that are not to be compared with those to come.

    Args:
        paths: of the records.
        part: the attribute of `Record` that holds what must agree.
        wanted: what it must say.

    Raises:
        RecordError: a record says something else; names its file, both values and the way out.
    """
    for path in paths:
        said = getattr(read(path), part)
        for name, value in wanted.items():
            if said.get(name) != value:
                raise RecordError(
                    f"{path}: {part}.{name} is {said.get(name)!r}, this sweep has {value!r}; "
                    "keep its records in another folder: --records DIR --page FILE"
                )


def pack(hits: NDArray[np.bool_]) -> str:
    """Right or wrong, bit by bit, as text; `unpack` with their count gives them back."""
    return base64.b64encode(np.packbits(hits).tobytes()).decode("ascii")


def pack_map(xy: Floats, labels: NDArray[np.int64]) -> dict[str, str]:
    """Places (n, 2) and labels (n,) as text; `unpack_map` gives them back, to a thousandth."""
    return {
        "xy": base64.b64encode(xy.astype("<f2").tobytes()).decode("ascii"),
        "labels": base64.b64encode(labels.astype(np.uint8).tobytes()).decode("ascii"),
    }


def unpack_map(packed: Mapping[str, str]) -> tuple[Floats, NDArray[np.int64]]:
    """Places (n, 2) and labels (n,) of a packed map."""
    xy = np.frombuffer(base64.b64decode(packed["xy"]), "<f2").astype(np.float32)
    labels = np.frombuffer(base64.b64decode(packed["labels"]), np.uint8)
    return xy.reshape(-1, 2), labels.astype(np.int64)


def unpack(text: str, count: int) -> NDArray[np.bool_]:
    """The first ``count`` bits of a packed row.

    >>> unpack(pack(np.array([True, False, True])), 3)
    array([ True, False,  True])
    """
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))[:count].astype(bool)
