"""Telling what a survey found: tables, sentences, and a picture if asked."""

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
from fsb_training.data.survey import Part, absent_sets, histogram
from fsb_training.datasets.faceset import NoFolderError

PICTURES = (".png", ".svg", ".pdf")
_COLUMN = 13  # characters of a table's column, borders included


def check_picture(file: Path) -> None:
    """Refuse a picture that cannot be written, before anything is read."""
    if file.suffix.lower() not in PICTURES:
        raise OptionError(f"cannot write {file}: its name must end in {', '.join(PICTURES)}")
    if not file.parent.is_dir():
        raise OptionError(f"cannot write {file}: there is no folder {file.parent}")


def report(
    console: Console, parts: Sequence[Part], root: Path, picture: Path | None, *, asked_for: bool
) -> bool:
    """Print all that was found below ``root``, and say whether it is as it should be.

    Args:
        console: to print on.
        parts: of the survey.
        root: for the sentence that nothing is there.
        picture: where to draw the histograms, if at all.
        asked_for: the parts were named one by one, so an absent one is wrong too.
    """
    there = [part for part in parts if part.is_there]
    if there:
        console.print(overview(there))
    for task in TASKS:
        for table in histogram_tables(task, parts, console.width):
            console.print(table)
    for style, text in remarks(parts):
        _say(console, text, style)
    if absent := absent_sets(parts):
        names = f"Not there: {', '.join(absent)}."
        _say(console, f"{names} docs/datasets.md says where each comes from.", "dim")
    if not there:
        folders = "Each data set has its published folder there, as docs/datasets.md tells."
        _say(console, f"Nothing of it is below {root}. {folders}", "red")
    if picture and there:
        from fsb_training.commands.histograms import save

        save(parts, picture)
        _say(console, f"Drawn: {picture}")
    wrong = any(part.is_wrong or (asked_for and part.error) for part in parts)
    return bool(there) and not wrong


def _say(console: Console, text: str, style: str = "") -> None:
    """A line as it is: of "FERPlus:train: 3", markup would make a tram."""
    console.print(Text(text, style), soft_wrap=True)


def overview(parts: Iterable[Part]) -> Table:
    """Faces of every part that is there."""
    table = Table(title="Found")
    for column in ("data set", "part", "faces", "left out", "labelled"):
        right = column in ("faces", "left out")
        table.add_column(column, justify="right" if right else "left", no_wrap=right)
    for each in parts:
        if each.faces is not None:
            labelled = [t for t in TASKS if histogram(each.faces, t)[0].any()]
            counts = (f"{len(each.faces):,}", f"{each.faces.problems.total():,}")
            table.add_row(each.name, each.part, *counts, ", ".join(labelled))
        elif each.is_wrong:
            table.add_row(each.name, each.part, "-", "-", "cannot be read", style="red")
    return table


def histogram_tables(task: str, parts: Iterable[Part], width: int) -> Iterator[Table]:
    """Faces by label, a column a part; as many tables as ``width`` characters make necessary."""
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
    """``(style, sentence)`` for all that is absent, left out or wrong below the data sets there."""
    said = []
    for each in parts:
        if each.faces is not None:
            said += [("yellow", f"{each}: {text}") for text in each.faces.problems.sentences()]
        elif each.is_wrong:
            said.append(("red", f"{each}: {each.error}"))
        elif not isinstance(each.error, NoFolderError):
            said.append(("dim", f"{each} is not there: {each.error}"))
    return said
