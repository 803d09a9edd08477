"""``fsb-train sweep``: compare systems by many runs, a record of each, and one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fsb_training.commands.options import CONSOLE, PROGRESS, Settings


def sweep(
    plan: Annotated[
        Path | None, typer.Argument(help="YAML file of the sweep; default: the one that ships")
    ] = None,
    settings: Settings = None,
    only: Annotated[
        str, typer.Option(help="only runs whose names contain this text, for instance main-lora")
    ] = "",
    jobs: Annotated[int, typer.Option(min=1, help="processes, of one thread each")] = 1,
    records: Annotated[Path, typer.Option(help="folder of the records, one JSON file a run")] = (
        Path("docs/results")
    ),
    page: Annotated[Path, typer.Option(help="the page to write from the records")] = (
        Path("docs/results.md")
    ),
    run: Annotated[
        Path | None, typer.Option(help="folder of weights and checkpoints; by default below runs/")
    ] = None,
    list_runs: Annotated[
        bool, typer.Option("--list", help="print all runs, done and to do, and end")
    ] = False,
    page_only: Annotated[
        bool, typer.Option("--page-only", help="write the page again from the records, and end")
    ] = False,
) -> None:
    """Pretrain, then adapt by every system of a plan, and write docs/results.md from the records.

    After a stop of any kind, the same command continues with the runs that have no record yet. The
    records that ship, in docs/results, count as done: for your own runs give --records and --page.
    The budget of a run (faces, visits, seeds) stands in the sweep's file. Ends with 1 if a run
    failed; the other runs are done all the same.
    """
    from fsb_training.experiments.options import SHIPPED, Sweep
    from fsb_training.experiments.records import record_path
    from fsb_training.experiments.results import write_page

    chosen = Sweep(plan or SHIPPED, tuple(settings or ()))
    cells = [cell for cell in chosen.options.plan() if only in cell.name]
    if list_runs:
        for cell in cells:
            done = record_path(records, cell).is_file()
            CONSOLE.print(f"{'done' if done else 'to do'}  {cell.name}", highlight=False)
        return
    failures = []
    if not page_only:
        from fsb_training.experiments.sweep import run as run_cells

        folder = run or Path("runs") / chosen.options.name
        failures = run_cells(chosen, cells, folder, records, jobs, PROGRESS)
    write_page(chosen.options.plan(), records, page)
    CONSOLE.print(f"Written: {page}", soft_wrap=True, highlight=False)
    if failures:
        raise typer.Exit(1)
