"""``fsb-train report``: measure bundles and write pages about them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fsb_perception.bundles import BUNDLE_HELP
from fsb_perception.command_options import DeviceOption
from fsb_training.commands.options import (
    CONSOLE,
    PROGRESS,
    Cache,
    DataRoot,
    MinCount,
    MoreParts,
    Threads,
    judged_faces,
    set_threads,
)


def report(
    data_root: DataRoot,
    datasets: Annotated[list[str], typer.Option(help="NAME:PART, for instance FairFace:val")],
    more_datasets: MoreParts = None,
    bundle: Annotated[
        list[str] | None,
        typer.Option(help=f"{BUNDLE_HELP}; repeatable; default: nano"),
    ] = None,
    out: Annotated[Path, typer.Option(help="folder that the report is written to")] = Path(
        "report"
    ),
    before: Annotated[
        str,
        typer.Option(
            help="compare patch features with another bundle, or with the unadapted tower in a "
            "file of weights"
        ),
    ] = "",
    show_faces: Annotated[
        bool, typer.Option("--show-faces", help="put the sample photographs beside their maps")
    ] = False,
    min_count: MinCount = 30,
    cache: Cache = None,
    device: DeviceOption = "auto",
    threads: Threads = 0,
) -> None:
    """Write a report on bundles: one HTML file that works offline, Markdown, and the numbers.

    It shows only numbers about the people in the data sets. docs/report.md explains how to read it.
    """
    from fsb_perception.bundles.bundle import load_bundle
    from fsb_perception.inference.config import EngineConfig
    from fsb_perception.options import build
    from fsb_training.report import Choices, check_folder, write_report

    loaded = [load_bundle(reference) for reference in bundle or ["nano"]]
    config = build(EngineConfig, {"device": device, "max_batch": 64})
    choices = Choices(before, show_faces, min_count)
    check_folder(out)
    set_threads(threads)
    specs = [*datasets, *(more_datasets or ())]
    with judged_faces(loaded, specs, data_root, cache) as sources:
        page = write_report(out, loaded, sources, config, choices, PROGRESS)
    CONSOLE.print(f"Written: {page}", soft_wrap=True, highlight=False)
