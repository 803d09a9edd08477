"""What is at hand, before anything is learned: data sets, and the sizes of systems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fsb_training.commands import tables
from fsb_training.commands.shared import (
    CONSOLE,
    Settings,
)

if TYPE_CHECKING:
    from fsb_training.filters import Outcome


def data(
    root: Annotated[Path, typer.Option(help="folder with the data sets in it")],
    datasets: Annotated[
        list[str] | None, typer.Option(help="NAME or NAME:PART; all if not said")
    ] = None,
    more_datasets: Annotated[list[str] | None, typer.Argument(metavar="[NAME:PART]...")] = None,
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
    """Say what a data root holds: data sets, faces, labels, and what is wrong.

    Ends with 1 if something cannot be read, if what was asked for is absent, or if nothing is
    there. docs/datasets.md tells the folder of each data set.
    """
    from fsb_training.commands.data_tables import check_picture, report
    from fsb_training.data import survey

    if picture:
        check_picture(picture)
    outcomes = _preview(recipe, [*(settings or ()), f"data.root={root}"]) if recipe else None
    asked = [*(datasets or ()), *(more_datasets or ())]
    parts = survey.survey(root, asked, open_pictures=open_pictures)
    fine = report(CONSOLE, parts, root, picture, asked_for=bool(asked))
    if outcomes is not None:
        CONSOLE.print(tables.filters_table(outcomes) if outcomes else "No filter has a say.")
    if not fine:
        raise typer.Exit(1)


def _preview(recipe: str, settings: list[str]) -> list[Outcome]:
    from fsb_training.data.sources import preview
    from fsb_training.recipe import load_recipe

    return preview(load_recipe(recipe, settings))


def params(
    backbone: Annotated[
        str, typer.Option(help="row of fsb_perception.towers.backbones")
    ] = "PE-Core-B-16",
    rank: Annotated[int, typer.Option(help="of the low-rank adapters")] = 64,
    tasks: Annotated[list[str] | None, typer.Option(help="repeatable; all if not said")] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="pictures in a step of training")] = 16,
) -> None:
    """Count what every system trains, adds and needs on a backbone; no weights are needed.

    Share is trained of total. Added is what the robot loads beyond the bare tower. Memory is for
    weights, gradients, AdamW and activations of a batch, in float32 and without checkpointing.
    """
    from rich.live import Live

    from fsb_perception.tasks import TASKS
    from fsb_training.params import sizes

    rows = sizes(backbone, rank, tuple(tasks or TASKS), batch_size)
    table, refusals = tables.sizes_table(backbone, rank, batch_size), []
    with Live(table, console=CONSOLE, refresh_per_second=2):
        for row in rows:
            tables.add_size(table, row)
            refusals += [f"{row.system}: {row.refusal}"] if row.refusal else []
    for refusal in refusals:
        CONSOLE.print(refusal, style="dim", highlight=False)
