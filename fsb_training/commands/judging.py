"""Judging bundles: evaluate, and report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fsb_training.commands import tables
from fsb_training.commands.shared import (
    CONSOLE,
    Cache,
    Device,
    MinCount,
    Threads,
    faces_folder,
    set_threads,
)

if TYPE_CHECKING:
    from fsb_perception.bundles.manifest import Manifest


def evaluate(
    data_root: Annotated[Path, typer.Option(help="folder with the data sets in it")],
    datasets: Annotated[
        list[str],
        typer.Option(help="NAME:PART, for instance FairFace:val; dev is our own held-out share"),
    ],
    more_datasets: Annotated[list[str] | None, typer.Argument(metavar="[NAME:PART]...")] = None,
    bundle: Annotated[str, typer.Option(help="bundle by name or folder")] = "nano",
    json_file: Annotated[Path | None, typer.Option("--json", help="write the metrics here")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="write every face's probabilities here, as CSV")
    ] = None,
    subgroups: Annotated[
        bool, typer.Option("--subgroups", help="also print the results by gender, age and race")
    ] = False,
    min_count: MinCount = 30,
    cache: Cache = None,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Judge a bundle on data sets in their published layouts, as the robot would see the faces."""
    from fsb_perception.bundles.bundle import load_bundle
    from fsb_perception.inference.engine import EngineConfig
    from fsb_perception.options import OptionError, build
    from fsb_training.export import answers
    from fsb_training.judging import evaluate as judging
    from fsb_training.judging import results
    from fsb_training.recipe_options import DataOptions

    loaded = load_bundle(bundle)
    config = build(EngineConfig, {"device": device, "max_batch": 64})
    for file in (json_file, predictions):
        if file is not None and not file.parent.is_dir():
            raise OptionError(f"cannot write {file}: there is no folder {file.parent}")
    specs = [*datasets, *(more_datasets or ())]
    _warn_of_training_data(loaded.manifest, specs)
    set_threads(threads)
    with faces_folder(cache) as folder:
        split = judging.dev_split([loaded.manifest])
        options = DataOptions(root=str(data_root), cache=str(folder), **split)
        sources = judging.open_parts(specs, options)
        said = answers(loaded, sources, config)
    found = results.results(said, sources, loaded.manifest.temperatures, min_count)
    metrics = results.to_json(found)
    CONSOLE.print(tables.metrics_table(metrics))
    for table in tables.subgroups_tables(found) if subgroups else ():
        CONSOLE.print(table)
    for source in sources:
        if source.faces.problems:
            CONSOLE.print(f"{source.faces.name} left out: {dict(source.faces.problems)}")
    if json_file:
        json_file.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    if predictions:
        judging.write_predictions(predictions, said, sources)


def report(
    data_root: Annotated[Path, typer.Option(help="folder with the data sets in it")],
    datasets: Annotated[list[str], typer.Option(help="NAME:PART, for instance FairFace:val")],
    more_datasets: Annotated[list[str] | None, typer.Argument(metavar="[NAME:PART]...")] = None,
    bundle: Annotated[
        list[str] | None,
        typer.Option(help="bundle by name or folder; repeatable; nano if not said"),
    ] = None,
    out: Annotated[Path, typer.Option(help="folder that the report is written to")] = Path(
        "report"
    ),
    before: Annotated[
        str,
        typer.Option(
            help="what patch features are compared with: another bundle, or a file of the "
            "unadapted tower's weights"
        ),
    ] = "",
    show_faces: Annotated[
        bool, typer.Option("--show-faces", help="put the sample photographs beside their maps")
    ] = False,
    min_count: MinCount = 30,
    cache: Cache = None,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Write a report on bundles: one HTML file that works offline, Markdown, and the numbers.

    Of the people in the data sets it shows numbers alone. docs/report.md tells how to read one.
    """
    from fsb_perception.bundles.bundle import load_bundle
    from fsb_perception.inference.engine import EngineConfig
    from fsb_perception.options import build
    from fsb_training.judging.evaluate import dev_split, open_parts
    from fsb_training.recipe_options import DataOptions
    from fsb_training.report import Choices, check_folder, write_report

    loaded = [load_bundle(reference) for reference in bundle or ["nano"]]
    config = build(EngineConfig, {"device": device, "max_batch": 64})
    choices = Choices(before, show_faces, min_count)
    check_folder(out)
    split = dev_split(each.manifest for each in loaded)
    set_threads(threads)
    with faces_folder(cache) as folder:
        options = DataOptions(root=str(data_root), cache=str(folder), **split)
        sources = open_parts([*datasets, *(more_datasets or ())], options)
        page = write_report(out, loaded, sources, config, choices)
    CONSOLE.print(f"Written: {page}", soft_wrap=True, highlight=False)


def _warn_of_training_data(manifest: Manifest, specs: list[str]) -> None:
    """A number on faces that were learned from is no held-out number, and says so."""
    from fsb_training.judging.evaluate import learned_from

    for spec in learned_from(manifest, specs):
        CONSOLE.print(
            f"[yellow]{spec} took part in training {manifest.name}: no held-out number. "
            f"{spec.partition(':')[0]}:dev is the share that did not.[/yellow]"
        )
