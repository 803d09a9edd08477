"""Report of a survey on a console: tables, sentences and, if asked, a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fsb_perception.options import OptionError
from fsb_perception.tasks import TASKS
from fsb_training.commands.options import require_folder_of
from fsb_training.data.survey import Part, absent_sets, histogram
from fsb_training.datasets.faceset import NoFolderError

PICTURES = (".png", ".svg", ".pdf")
_COLUMN = 13  # characters of a table's column, borders included


def check_picture(file: Path) -> None:
    """Check the name and the folder of a picture, before anything is read.

    Raises:
        OptionError: the ending is not in `PICTURES`, or there is no such folder.
    """
    if file.suffix.lower() not in PICTURES:
        raise OptionError(f"cannot write {file}: its name must end in {', '.join(PICTURES)}")
    require_folder_of(file)


def report(
    console: Console, parts: Sequence[Part], root: Path, picture: Path | None, *, asked_for: bool
) -> bool:
    """Print everything that a survey found below ``root``.

    Args:
        console: console to print on.
        parts: parts of the survey.
        root: folder of the data sets, for the sentence that nothing is there.
        picture: file to draw the histograms in, if any.
        asked_for: the user named the parts, so an absent part is an error too.

    Returns:
        True if there is a data set and nothing is wrong.
    """
    there = [part for part in parts if part.is_there]
    if there:
        console.print(overview(there))
    for task in TASKS:
        for table in histogram_tables(task, parts, console.width):
            console.print(table)
    for style, text in remarks(parts):
        _print_line(console, text, style)
    if absent := absent_sets(parts):
        names = f"Not there: {', '.join(absent)}."
        _print_line(console, f"{names} docs/datasets.md gives the source of each.", "dim")
    if not there:
        folders = "Put each data set there in its published folder, see docs/datasets.md."
        _print_line(console, f"There is no such data set below {root}. {folders}", "red")
    if picture and there:
        from fsb_training.commands.histograms import save

        save(parts, picture)
        _print_line(console, f"Drawn: {picture}")
    wrong = any(part.is_wrong or (asked_for and part.error) for part in parts)
    return bool(there) and not wrong


def _print_line(console: Console, text: str, style: str = "") -> None:
    """Print a line without markup, which would turn ":train:" into an emoji."""
    console.print(Text(text, style), soft_wrap=True)


def overview(parts: Iterable[Part]) -> Table:
    """Build a table of the faces of every part that is there."""
    table = Table(title="Found")
    for column in ("data set", "part", "faces", "left out", "labelled"):
        right = column in ("faces", "left out")
        table.add_column(column, justify="right" if right else "left", no_wrap=right)
    for part in parts:
        if part.faces is not None:
            labelled = [t for t in TASKS if histogram(part.faces, t)[0].any()]
            counts = (f"{len(part.faces):,}", f"{part.faces.problems.total():,}")
            table.add_row(part.name, part.part, *counts, ", ".join(labelled))
        elif part.is_wrong:
            table.add_row(part.name, part.part, "-", "-", "cannot be read", style="red")
    return table


def histogram_tables(task: str, parts: Iterable[Part], width: int) -> Iterator[Table]:
    """Yield tables of faces by label, one column a part, each at most ``width`` characters wide."""
    labelled = [p for p in parts if p.faces is not None and task in p.faces.labels]
    most = max(1, (width - _COLUMN) // _COLUMN)
    for start in range(0, len(labelled), most):
        chosen = labelled[start : start + most]
        table = Table("", title=task)
        for part in chosen:
            table.add_column(f"{part.name}\n{part.part}", justify="right", no_wrap=True)
        columns = [(*counts, unknown) for counts, unknown in (_histogram(p, task) for p in chosen)]
        for label, *counts in zip((*TASKS[task].labels, "unknown"), *columns, strict=True):
            style = "dim" if label == "unknown" else ""
            table.add_row(label, *(f"{count:,}" for count in counts), style=style)
        yield table


def _histogram(part: Part, task: str) -> tuple[NDArray[np.int64], int]:
    assert part.faces is not None
    return histogram(part.faces, task)


def remarks(parts: Iterable[Part]) -> list[tuple[str, str]]:
    """Return ``(style, sentence)`` for every part that is absent, incomplete or unreadable."""
    sentences = []
    for part in parts:
        if part.faces is not None:
            sentences += [("yellow", f"{part}: {text}") for text in part.faces.problems.sentences()]
        elif part.is_wrong:
            sentences.append(("red", f"{part}: {part.error}"))
        elif not isinstance(part.error, NoFolderError):
            sentences.append(("dim", f"{part} is not there: {part.error}"))
    return sentences
