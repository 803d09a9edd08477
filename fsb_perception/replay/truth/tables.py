"""Text files of truth, line by line: every error names the file and the line."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from fsb_perception.registry import UnknownNameError
from fsb_perception.replay.truth.statements import TruthError


def read_csv(path: Path, columns: Collection[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the place ``path:line`` and the values of each row that has any, by column.

    Args:
        path: of a CSV file in UTF-8, with a header.
        columns: that are known; any of them may be missing.

    Raises:
        TruthError: the file cannot be read, or has an unknown column or too long a row.
    """
    with _opened(path) as file:
        reader = csv.DictReader(file)
        for name in filter(None, reader.fieldnames or ()):
            if name not in columns:
                raise TruthError(f"{path}:1: {UnknownNameError('column', name, columns)}")
        for row in reader:
            place = f"{path}:{reader.line_num}"
            if None in row:
                raise TruthError(f"{place}: more values than columns")
            values = {k: v.strip() for k, v in row.items() if v and v.strip()}
            if values:
                yield place, values


def read_json_lines(path: Path) -> Iterator[tuple[str, object]]:
    """Yield the place ``path:line`` and the value of each line that is not empty.

    Raises:
        TruthError: the file cannot be read, or a line is no JSON.
    """
    with _opened(path) as file:
        for number, text in enumerate(file, 1):
            if text.strip():
                place = f"{path}:{number}"
                try:
                    value = json.loads(text)
                except json.JSONDecodeError as error:
                    raise TruthError(f"{place}: no JSON: {error}") from None
                yield place, value


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write a mark
            yield file
    except UnicodeDecodeError as error:
        raise TruthError(f"{path} is no text in UTF-8: {error}") from None
    except csv.Error as error:
        raise TruthError(f"{path} is no CSV file: {error}") from None
    except OSError as error:
        raise TruthError(f"{path} cannot be read: {error.strerror}") from None
