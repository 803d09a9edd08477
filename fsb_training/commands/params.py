"""``fsb-train params``: compare the sizes of all systems on one backbone."""

from __future__ import annotations

from typing import Annotated

import typer

from fsb_training.commands import tables
from fsb_training.commands.options import CONSOLE


def params(
    backbone: Annotated[
        str, typer.Option(help="row of fsb_perception.towers.backbones")
    ] = "PE-Core-B-16",
    rank: Annotated[int, typer.Option(help="rank of the low-rank adapters")] = 64,
    tasks: Annotated[
        list[str] | None, typer.Option(help="name of a task; repeatable; default: all")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="pictures in a step of training")] = 16,
) -> None:
    """Count what every system trains, adds and needs on a backbone; no weights are needed.

    "share" is trained of total. "added" is what the robot loads beyond the bare tower. "memory" is
    for weights, gradients, AdamW and activations of a batch, in float32 and without checkpointing.
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
