"""A data set of your own: pictures, and a CSV file for each part.

    CSV/{train,val,test}.csv        file,gender,age,emotion
                                    anna/1.jpg,female,34,happiness

`file` is relative to the folder CSV; the other columns are tasks, by name. An empty field is an
unknown label. A task whose labels are ranges of a number takes the number too: `age_group`, or
`age` for short, may be 34 or 30-39. Pictures may be photographs or crops; the face nearest the
middle is taken.

For a second table enter ``"Mine": OwnTable("Mine", licence="CC0")`` in the table of data sets.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsb_perception.problems import Problems
from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS
from fsb_training.datasets.faceset import MISSING, DatasetError, FaceSet
from fsb_training.datasets.labels import label_column
from fsb_training.datasets.tables import data_folder, known_label, own_names, read_csv, years

_ALIASES = {"age": "age_group"}

Cell = tuple[str, str]
"""Path and line of a field, and its text."""


class OwnTable:
    """Loader of a CSV file with a column for each task.

    Args:
        name: of the data set and of its folder.
        licence: of pictures and labels.
    """

    parts: tuple[str, ...] = ("train", "val", "test")
    training_parts: tuple[str, ...] = ("train",)

    def __init__(self, name: str, licence: str) -> None:
        self.name = name
        self.licence = licence

    def load(self, root: Path, part: str) -> FaceSet:
        """Load the faces of ``part``; a wrong table is refused, an absent picture counted."""
        folder = data_folder(root, self.name)
        table = folder / f"{part}.csv"
        files: list[str] = []
        cells: dict[str, list[Cell]] = {}
        problems = Problems()
        for where, row in read_csv(table, ("file",)):
            columns = _columns(row, table)
            cells = cells or {task: [] for task in columns.values()}
            if reason := _reason(row, folder, columns):
                problems.note(reason, where)
                continue
            files.append(row["file"])
            for column, task in columns.items():
                cells[task].append((where, row[column]))
        read = {task: _read(task, column) for task, column in cells.items()}
        return FaceSet(
            name=self.name,
            part=part,
            root=folder,
            files=tuple(files),
            labels={task: labels for task, (labels, _) in read.items()},
            values={task: numbers for task, (_, numbers) in read.items() if TASKS[task].edges},
            problems=problems,
        )


def _columns(row: dict[str, str], table: Path) -> dict[str, str]:
    """Return the task of each column but ``file``; refuse others, which may be misspelt."""
    columns: dict[str, str] = {}
    for name in row:
        task = _ALIASES.get(name, name)
        if name == "file":
            continue
        if task not in TASKS:
            error = UnknownNameError("column", name, ("file", *TASKS, *_ALIASES))
            raise DatasetError(f"{table}:1: {error}")
        if task in columns.values():
            raise DatasetError(f"{table}:1: more than one column holds {task}: keep one")
        columns[name] = task
    if not columns:
        raise DatasetError(f"{table}:1: only the column file; add one of {', '.join(TASKS)}")
    return columns


def _reason(row: dict[str, str], folder: Path, columns: dict[str, str]) -> str:
    """Return why a row is left out, or ""."""
    if not any(row[column] for column in columns):
        return "no label"
    return "" if row["file"] and (folder / row["file"]).is_file() else "picture is not there"


def _read(task: str, cells: list[Cell]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return label indexes (n,), and the numbers behind them (n,), NaN where there is none."""
    names = own_names(task)
    numbers = [
        _value(task, text, where) if _is_number(text) and TASKS[task].edges else None
        for where, text in cells
    ]
    labels = [
        known_label(text, names, where) if text and number is None else None
        for (where, text), number in zip(cells, numbers, strict=True)
    ]
    ranges = [MISSING if n is None else TASKS[task].range_of(n) for n in numbers]
    values = np.array([np.nan if n is None else n for n in numbers], np.float32)
    return np.where(np.array(ranges) == MISSING, label_column(task, labels), ranges), values


def _value(task: str, text: str, where: str) -> float:
    """Return a number between the ends of a task's ranges; the last age group has no end."""
    if task == "age_group":
        return years(text, where)
    low, *_, high = TASKS[task].edges
    value = float(text)
    if not low <= value <= high:  # NaN is not either
        unit = f" {TASKS[task].unit}".rstrip()
        raise DatasetError(f"{where}: {task} {text!r} is not from {low:g} to {high:g}{unit}")
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
