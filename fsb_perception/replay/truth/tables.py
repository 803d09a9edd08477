"""Text files of truth, line by line: every error names the file and the line."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from fsb_perception.registry import UnknownNameError
from fsb_perception.replay.truth.statements import TruthError
from fsb_perception.tables import TableError, read_table


def read_csv(path: Path, columns: Collection[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the place ``path:line`` and the values of each row that has any, by column.

    Args:
        path: of a CSV file in UTF-8, with a header.
        columns: that are known; any of them may be missing.

    Raises:
        TruthError: the file cannot be read, or has an unknown column; see `read_table`.
    """
    try:
        for place, row in read_table(path):
            for name in row:
                if name not in columns:
                    raise TruthError(f"{path}:1: {UnknownNameError('column', name, columns)}")
            yield place, {name: value for name, value in row.items() if value}
    except TableError as error:
        raise TruthError(str(error)) from None
    except OSError as error:
        raise TruthError(f"{path} cannot be read: {error.strerror}") from None


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
    except OSError as error:
        raise TruthError(f"{path} cannot be read: {error.strerror}") from None
