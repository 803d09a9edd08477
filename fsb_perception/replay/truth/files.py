"""Truth in files: JSON lines, CSV, or boxes drawn over the images of a bag.

    {"camera": "front", "stamp": 1700000000033333333, "identity": "ada", "box_xyxy": [1, 2, 3, 4],
     "attributes": {"gender": "female"}}
    {"camera": "front", "start": 1700000000000000000, "end": 1700000009000000000,
     "attributes": {"emotion": "happiness"}, "identity": "ada"}

A line is a `Statement`. In CSV the columns have the same names, but the box has four, ``left``,
``top``, ``right`` and ``bottom``, and each task has one. `annotations` describes the drawn boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from fsb_perception.files import write_whole
from fsb_perception.replay.bags.storages import STORAGE_OF_SUFFIX, is_bag
from fsb_perception.replay.truth.statements import Statement, TruthError, errors_at
from fsb_perception.replay.truth.tables import read_csv, read_json_lines
from fsb_perception.tasks import TASKS

_SIDES = ("left", "top", "right", "bottom")
_COLUMNS = {*Statement.model_fields, *_SIDES, *TASKS} - {"box_xyxy", "attributes"}


def read_truth(path: Path) -> list[Statement]:
    """Read the statements of a ``.jsonl`` or ``.csv`` file, or of a bag with annotations.

    Raises:
        TruthError: there is no such file, or a line of it is no valid statement.
        BagError: the packages that read bags are missing.
    """
    if is_bag(path):
        from fsb_perception.replay.truth.annotations import read_annotations

        return read_annotations(path)
    readers = {".jsonl": read_json_lines, ".csv": _read_columns}
    if path.suffix not in readers:
        raise TruthError(
            f"{path}: truth is read from .jsonl, .csv, or a bag with annotations (a folder, "
            f"{' or '.join(STORAGE_OF_SUFFIX)}), got {path.suffix!r}"
        )
    statements = []
    for place, values in readers[path.suffix](path):
        with errors_at(place):
            statements.append(Statement.model_validate(values))
    if not statements:
        raise TruthError(f"{path} holds no statement: fill it, or leave out --truth")
    return statements


def write_truth(path: Path, statements: Iterable[Statement]) -> None:
    """Write statements as JSON lines, without the parts that they leave open."""
    lines = (statement.model_dump_json(exclude_defaults=True) for statement in statements)
    write_whole(path, "".join(f"{line}\n" for line in lines))


def _read_columns(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    for place, row in read_csv(path, _COLUMNS):
        values: dict[str, object] = {k: v for k, v in row.items() if k not in (*_SIDES, *TASKS)}
        if any(side in row for side in _SIDES):
            values["box_xyxy"] = [row.get(side) for side in _SIDES]
        values["attributes"] = {task: row[task] for task in TASKS if task in row}
        yield place, values
