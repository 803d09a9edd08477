"""``fsb-train evaluate``: measure a bundle on labelled data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fsb_perception.command_options import BundleOption, DeviceOption
from fsb_training.commands import tables
from fsb_training.commands.options import (
    CONSOLE,
    PROGRESS,
    Cache,
    DataRoot,
    MinCount,
    MoreParts,
    Threads,
    judged_faces,
    require_folder_of,
    set_threads,
)

if TYPE_CHECKING:
    from fsb_perception.bundles.manifest import Manifest


def evaluate(
    data_root: DataRoot,
    datasets: Annotated[
        list[str],
        typer.Option(help="NAME:PART, for instance FairFace:val; dev is our own held-out share"),
    ],
    more_datasets: MoreParts = None,
    bundle: BundleOption = "nano",
    json_file: Annotated[Path | None, typer.Option("--json", help="write the metrics here")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="write the probabilities of every face here, as CSV")
    ] = None,
    subgroups: Annotated[
        bool, typer.Option("--subgroups", help="also print the results by gender, age and race")
    ] = False,
    min_count: MinCount = 30,
    cache: Cache = None,
    device: DeviceOption = "auto",
    threads: Threads = 0,
) -> None:
    """Judge a bundle on data sets in their published layouts, as the robot would see the faces."""
    from fsb_perception.bundles.bundle import load_bundle
    from fsb_perception.files import write_whole
    from fsb_perception.inference.config import EngineConfig
    from fsb_perception.options import build
    from fsb_training.export import answers
    from fsb_training.judging import results
    from fsb_training.judging.evaluate import write_predictions

    loaded = load_bundle(bundle)
    config = build(EngineConfig, {"device": device, "max_batch": 64})
    for file in (json_file, predictions):
        if file is not None:
            require_folder_of(file)
    specs = [*datasets, *(more_datasets or ())]
    _warn_of_training_data(loaded.manifest, specs)
    set_threads(threads)
    with judged_faces([loaded], specs, data_root, cache) as sources:
        probabilities = answers(loaded, sources, config, PROGRESS)
    measured = results.results(probabilities, sources, loaded.manifest.temperatures, min_count)
    metrics = results.to_json(measured)
    CONSOLE.print(tables.metrics_table(metrics))
    for table in tables.subgroups_tables(measured) if subgroups else ():
        CONSOLE.print(table)
    for source in sources:
        if source.faces.problems:
            CONSOLE.print(f"{source.faces.name} left out: {dict(source.faces.problems)}")
    if json_file:
        write_whole(json_file, json.dumps(metrics, indent=2) + "\n")
    if predictions:
        write_predictions(predictions, probabilities, sources)


def _warn_of_training_data(manifest: Manifest, specs: list[str]) -> None:
    """Print which parts the bundle learned from: their metrics are not held-out figures."""
    from fsb_training.judging.evaluate import learned_from

    for spec in learned_from(manifest, specs):
        CONSOLE.print(
            f"[yellow]{spec} took part in training {manifest.name}: no held-out number. "
            f"{spec.partition(':')[0]}:dev is the share that did not.[/yellow]"
        )
