"""``fsb-train data``: list the data sets below a folder and the problems with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fsb_training.commands import tables
from fsb_training.commands.options import CONSOLE, PROGRESS, DataRoot, MoreParts, Settings

if TYPE_CHECKING:
    from fsb_training.filters import Outcome


def data(
    root: DataRoot,
    datasets: Annotated[
        list[str] | None, typer.Option(help="NAME or NAME:PART; default: all")
    ] = None,
    more_datasets: MoreParts = None,
    picture: Annotated[
        Path | None, typer.Option(help="draw the histograms here: .png, .svg or .pdf")
    ] = None,
    open_pictures: Annotated[
        bool, typer.Option("--open-pictures", help="also open every picture; may take minutes")
    ] = False,
    recipe: Annotated[
        str | None, typer.Option(help="also show what this recipe's filters leave out")
    ] = None,
    settings: Settings = None,
) -> None:
    """List the data sets below a folder: faces, labels, and problems.

    Ends with 1 if something cannot be read, if a data set that was named is absent, or if nothing
    is there. docs/datasets.md describes the folder of each data set.
    """
    from fsb_training.commands.survey_tables import check_picture, report
    from fsb_training.data import survey

    if picture:
        check_picture(picture)
    outcomes = _preview(recipe, [*(settings or ()), f"data.root={root}"]) if recipe else None
    asked = [*(datasets or ()), *(more_datasets or ())]
    parts = survey.survey(root, asked, open_pictures=open_pictures, progress=PROGRESS)
    fine = report(CONSOLE, parts, root, picture, asked_for=bool(asked))
    if outcomes is not None:
        CONSOLE.print(tables.filters_table(outcomes) if outcomes else "No filter is on.")
    if not fine:
        raise typer.Exit(1)


def _preview(recipe: str, settings: list[str]) -> list[Outcome]:
    from fsb_training.data.sources import preview
    from fsb_training.recipe import load_recipe

    return preview(load_recipe(recipe, settings))
