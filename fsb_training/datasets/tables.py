"""Readers of the text files of data sets; every error names file and line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fsb_perception import tables
from fsb_perception.registry import UnknownNameError
from fsb_perception.tables import TableError, read_table
from fsb_perception.tasks import TASKS
from fsb_training.datasets.faceset import AbsentError, DatasetError, NoFolderError

OLDEST = 120  # years; a larger age is a mistake in the table


def data_folder(root: Path, *names: str) -> Path:
    """Return the first of the folders ``names`` that is below the data root.

    Raises:
        NoFolderError: there is none.
    """
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise NoFolderError(
        f"there is no folder {' or '.join(names)} below {root}: give the folder that contains it"
    )


def read_csv(
    table: Path, columns: Collection[str], *, spaced: bool = False
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield ``(where, row)`` of every line: "path:line", and the fields by the header's names.

    Args:
        table: the file, in UTF-8.
        columns: names that the header must have; it may have others.
        spaced: a space follows each comma, before the quotes.

    Raises:
        AbsentError: no such file.
        DatasetError: see `fsb_perception.tables.read_table`.
    """
    _must_exist(table)
    with _dataset_errors():
        yield from read_table(table, columns, spaced=spaced)


def read_rows(table: Path, *, spaced: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Yield ``(where, fields)`` of every line of a CSV file that has a value."""
    _must_exist(table)
    with _dataset_errors():
        yield from tables.read_rows(table, spaced=spaced)


@contextmanager
def _dataset_errors() -> Iterator[None]:
    try:
        yield
    except TableError as error:
        raise DatasetError(str(error)) from None


def read_words(table: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield ``(where, words)`` of every line that is not empty, split at spaces."""
    _must_exist(table)
    try:
        with table.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if words := line.split():
                    yield f"{table}:{number}", words
    except UnicodeDecodeError as error:
        raise DatasetError(f"{table} is no text in UTF-8: {error}; convert it") from None


def _must_exist(table: Path) -> None:
    if not table.is_file():
        raise AbsentError(f"there is no {table}; keep the folder in its published layout")


def known_label(text: str, names: Mapping[str, str], where: str, kind: str = "label") -> str:
    """Translate a data set's word for a label.

    Args:
        text: the word in the table.
        names: our label by the data set's word.
        where: path and line, for the error.
        kind: of the word, for the error.

    Raises:
        DatasetError: ``names`` lacks it.
    """
    if text not in names:
        raise DatasetError(f"{where}: {UnknownNameError(kind, text, names)}")
    return names[text]


def years(text: str, where: str) -> float:
    """Return an age in years, from 0 to `OLDEST`; raise `DatasetError` for another text."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= OLDEST:  # NaN is not either
        raise DatasetError(f"{where}: age {text!r} is not a number of years from 0 to {OLDEST}")
    return value


def own_names(task: str) -> dict[str, str]:
    """Return the words of a data set that names a task's labels as we do, for `known_label`."""
    return {label: label for label in TASKS[task].labels}
