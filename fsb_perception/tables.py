"""CSV files with a header, line by line; every error names file and line.

Spreadsheets put a mark before the first name (a BOM), spaces around values, and empty columns and
rows at the end: these do no harm. Two columns of one name are refused, for either may be the wrong
one.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from fsb_perception.errors import FsbError


class TableError(FsbError):
    """A table that cannot be read; the message names the file, the line and the value."""


def read_rows(path: Path, *, spaced: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Yield ``(where, fields)`` of every line with a value: "path:line", and fields without spaces.

    Args:
        path: of a CSV file in UTF-8.
        spaced: a space follows each comma, before the quotes.

    Raises:
        TableError: it is no CSV file in UTF-8.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=spaced)
            for row in reader:
                fields = [field.strip() for field in row]
                if any(fields):
                    yield f"{path}:{reader.line_num}", fields
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path} is no CSV file in UTF-8: {error}; convert it") from None


def read_table(
    path: Path, columns: Collection[str] = (), *, spaced: bool = False
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield ``(where, row)`` of every line below the header: fields by the header's names.

    Args:
        path: of a CSV file in UTF-8.
        columns: names that the header must have; it may have others.
        spaced: a space follows each comma, before the quotes.

    Raises:
        TableError: no CSV file, a header that repeats a name or lacks a column, a line with more or
            fewer fields than the header, or a value in a column without a name.
    """
    rows = read_rows(path, spaced=spaced)
    _, header = next(rows, ("", []))
    _check_header(path, header, columns)
    for where, fields in rows:
        while len(fields) > len(header) and not fields[-1]:  # a spreadsheet's empty columns
            fields.pop()
        if len(fields) != len(header):
            raise TableError(f"{where}: {len(fields)} fields, but the header has {len(header)}")
        row = dict(zip(header, fields, strict=True))
        nameless = [f for name, f in zip(header, fields, strict=True) if f and not name]
        if nameless:
            raise TableError(f"{where}: {nameless[0]!r} stands in a column without a name: name it")
        row.pop("", None)
        yield where, row


def _check_header(path: Path, header: list[str], columns: Collection[str]) -> None:
    repeated = [name for name, count in Counter(filter(None, header)).items() if count > 1]
    if repeated:
        raise TableError(f"{path}:1: more than one column is called {repeated[0]!r}: keep one")
    if lacking := sorted(set(columns) - set(header)):
        raise TableError(f"{path}:1: header {', '.join(header)!r} lacks {', '.join(lacking)}")
