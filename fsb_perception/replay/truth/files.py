"""Truth in files: JSON lines, CSV, or boxes drawn over the images of a bag."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fsb_perception.replay.bags.storages import STORAGE_OF_SUFFIX, is_bag
from fsb_perception.replay.truth.statements import Statement, TruthError, explained
from fsb_perception.tasks import TASKS


def read_truth(path: Path) -> list[Statement]:
    """The statements of a ``.jsonl`` or ``.csv`` file, or of a bag with annotations.

    Raises:
        TruthError: there is no such file, or a line of it says nothing that can be.
        BagError: the packages that read bags are missing.
    """
    if is_bag(path):
        from fsb_perception.replay.truth.annotations import read_annotations

        return read_annotations(path)
    readers = {".jsonl": _json_lines, ".csv": _csv_lines}
    if path.suffix not in readers:
        raise TruthError(
            f"{path}: truth is read from .jsonl, .csv, or a bag with annotations (a folder, "
            f"{' or '.join(STORAGE_OF_SUFFIX)}), got {path.suffix!r}"
        )
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_statement(path, n, values) for n, values in readers[path.suffix](file)]
    except UnicodeDecodeError as error:
        raise TruthError(f"{path} is no text in UTF-8: {error}") from None
    except OSError as error:
        raise TruthError(f"{path}: {error.strerror}") from None


def write_truth(path: Path, statements: Iterable[Statement]) -> None:
    """Write statements as JSON lines, without what they leave open."""
    with path.open("w", encoding="utf-8") as file:
        for statement in statements:
            file.write(statement.model_dump_json(exclude_defaults=True) + "\n")


def _json_lines(file: Iterable[str]) -> Iterator[tuple[int, Any]]:
    for number, text in enumerate(file, 1):
        if text.strip():
            try:
                yield number, json.loads(text)
            except json.JSONDecodeError as error:
                yield number, error


def _csv_lines(file: Iterable[str]) -> Iterator[tuple[int, Any]]:
    reader = csv.DictReader(file)
    for row in reader:
        yield reader.line_num, _from_columns({k: v for k, v in row.items() if v not in (None, "")})


_SIDES = ("left", "top", "right", "bottom")


def _from_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {k: v for k, v in row.items() if k not in (*_SIDES, *TASKS)}
    if any(side in row for side in _SIDES):
        named["box_xyxy"] = [row.get(side) for side in _SIDES]
    attributes = {task: row[task] for task in TASKS if task in row}
    return named | ({"attributes": attributes} if attributes else {})


def _statement(path: Path, number: int, values: Any) -> Statement:
    if isinstance(values, json.JSONDecodeError):
        raise TruthError(f"{path}:{number}: no JSON: {values}")
    try:
        return Statement.model_validate(values)
    except ValidationError as error:
        raise TruthError(f"{path}:{number}: {explained(error)}") from None
