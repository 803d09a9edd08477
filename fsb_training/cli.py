"""The command ``fsb-train``: fit, evaluate and export bundles."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape

from fsb_training import tables

if TYPE_CHECKING:
    from fsb_perception.manifest import Manifest
    from fsb_training.filters import Outcome

app = typer.Typer(
    help="Train and judge the bundles that FSB runs.\n\n"
    "fsb-train fit nano --set data.root=DIR\n\n"
    "fsb-train evaluate --bundle nano --data-root DIR --datasets FairFace:val FERPlus:test",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_console = Console()

RecipeFile = Annotated[
    str, typer.Argument(help="a YAML file, or the name of a recipe that ships: fsb-train recipes")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="overrides an entry of the recipe; repeatable"
    ),
]
Run = Annotated[
    Path | None, typer.Option(help="folder of the run; by default runs/ and the recipe's name")
]
Device = Annotated[str, typer.Option(help="auto, cuda or cpu")]
Cache = Annotated[
    Path | None, typer.Option(help="keep decoded pictures and found faces here for next time")
]
MinCount = Annotated[
    int, typer.Option(min=2, help="groups of people with fewer faces are named, but not judged")
]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to torch")]


@app.command()
def fit(
    recipe: RecipeFile,
    settings: Settings = None,
    run: Run = None,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Train a bundle; started again after a stop of any kind, it goes on where it was.

    The checkpoint, the log and, at the end, the calibrated bundle are written to the run's folder.

    Several processes share every batch: torchrun --nproc_per_node 2 -m fsb_training.cli -- fit ...
    """
    from fsb_training import distributed, trainer
    from fsb_training.export import export
    from fsb_training.recipe import load_recipe
    from fsb_training.sources import open_sources

    chosen = load_recipe(recipe, settings or ())
    folder = run or Path("runs") / chosen.name
    _set_threads(threads)
    options = chosen.optimiser
    with distributed.joined(options.batch_size, device, options.precision) as world:
        _speak_once(world.leads)
        # First what may be wrong with recipe, weights and folder: looking for faces takes hours.
        state = trainer.begin(chosen, folder, device, world)
        with world.leader_first():
            sources, dev = open_sources(chosen)
        encoder = trainer.fit(chosen, folder, sources, dev, device, world, state)
        if not world.leads:
            return
        bundle = export(chosen, encoder, folder / "bundle", sources, dev)
    _console.print(tables.metrics_table(bundle.manifest.metrics))
    _console.print(f"{bundle.bundle_id}, {bundle.size_bytes / 1e6:.1f} MB, in {bundle.folder}")


@app.command()
def recipes() -> None:
    """List the recipes that ship, each by the name that `fit` takes."""
    from fsb_training.recipe_files import shipped_recipes

    _console.print(tables.recipes_table(shipped_recipes()))


@app.command(name="export")
def export_command(
    recipe: RecipeFile, to: Path, settings: Settings = None, run: Run = None
) -> None:
    """Make a calibrated bundle in folder TO from a run as far as it has come."""
    from fsb_training import trainer
    from fsb_training.export import export
    from fsb_training.recipe import load_recipe
    from fsb_training.sources import open_sources

    chosen = load_recipe(recipe, settings or ())
    folder = run or Path("runs") / chosen.name
    if not (folder / trainer.CHECKPOINT).is_file():
        raise trainer.TrainingError(
            f"there is no {trainer.CHECKPOINT} in {folder}: name it by --run"
        )
    state = trainer.resume(chosen, folder)
    sources, dev = open_sources(chosen)
    bundle = export(chosen, state.shipped(), to, sources, dev)
    _console.print(tables.metrics_table(bundle.manifest.metrics))
    _console.print(f"{bundle.bundle_id} after step {state.step}, in {bundle.folder}")


@app.command()
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
    from fsb_perception.bundle import load_bundle
    from fsb_perception.engine import EngineConfig
    from fsb_perception.options import OptionError, build
    from fsb_training import evaluate as judging
    from fsb_training import results
    from fsb_training.export import answers
    from fsb_training.recipe_options import DataOptions

    loaded = load_bundle(bundle)
    config = build(EngineConfig, {"device": device, "max_batch": 64})
    for file in (json_file, predictions):
        if file is not None and not file.parent.is_dir():
            raise OptionError(f"cannot write {file}: there is no folder {file.parent}")
    specs = [*datasets, *(more_datasets or ())]
    _warn_of_training_data(loaded.manifest, specs)
    _set_threads(threads)
    with _folder(cache) as folder:
        options = DataOptions(root=str(data_root), cache=str(folder))
        sources = judging.open_parts(specs, options)
        said = answers(loaded, sources, config)
    found = results.results(said, sources, loaded.manifest.temperatures, min_count)
    metrics = results.to_json(found)
    _console.print(tables.metrics_table(metrics))
    for table in tables.subgroups_tables(found) if subgroups else ():
        _console.print(table)
    for source in sources:
        if source.faces.problems:
            _console.print(f"{source.faces.name} left out: {dict(source.faces.problems)}")
    if json_file:
        json_file.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    if predictions:
        judging.write_predictions(predictions, said, sources)


@app.command()
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
    from fsb_perception.bundle import load_bundle
    from fsb_perception.engine import EngineConfig
    from fsb_perception.options import build
    from fsb_training.evaluate import open_parts
    from fsb_training.recipe_options import DataOptions
    from fsb_training.report import Choices, check_folder, write_report

    loaded = [load_bundle(reference) for reference in bundle or ["nano"]]
    config = build(EngineConfig, {"device": device, "max_batch": 64})
    choices = Choices(before, show_faces, min_count)
    check_folder(out)
    _set_threads(threads)
    with _folder(cache) as folder:
        options = DataOptions(root=str(data_root), cache=str(folder))
        sources = open_parts([*datasets, *(more_datasets or ())], options)
        page = write_report(out, loaded, sources, config, choices)
    _console.print(f"Written: {page}", soft_wrap=True, highlight=False)


@app.command()
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
    from fsb_training import survey
    from fsb_training.survey_report import check_picture, report

    if picture:
        check_picture(picture)
    outcomes = _preview(recipe, [*(settings or ()), f"data.root={root}"]) if recipe else None
    asked = [*(datasets or ()), *(more_datasets or ())]
    parts = survey.survey(root, asked, open_pictures=open_pictures)
    fine = report(_console, parts, root, picture, asked_for=bool(asked))
    if outcomes is not None:
        _console.print(tables.filters_table(outcomes) if outcomes else "No filter has a say.")
    if not fine:
        raise typer.Exit(1)


def _preview(recipe: str, settings: list[str]) -> list[Outcome]:
    from fsb_training.recipe import load_recipe
    from fsb_training.sources import preview

    return preview(load_recipe(recipe, settings))


@app.command()
def params(
    backbone: Annotated[str, typer.Option(help="row of fsb_perception.backbones")] = "PE-Core-B-16",
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
    with Live(table, console=_console, refresh_per_second=2):
        for row in rows:
            tables.add_size(table, row)
            refusals += [f"{row.system}: {row.refusal}"] if row.refusal else []
    for refusal in refusals:
        _console.print(refusal, style="dim", highlight=False)


def _warn_of_training_data(manifest: Manifest, specs: list[str]) -> None:
    """A number on faces that were learned from is no held-out number, and says so."""
    from fsb_training.evaluate import learned_from

    for spec in learned_from(manifest, specs):
        _console.print(
            f"[yellow]{spec} took part in training {manifest.name}: no held-out number. "
            f"{spec.partition(':')[0]}:dev is the share that did not.[/yellow]"
        )


@contextmanager
def _folder(cache: Path | None) -> Iterator[Path]:
    """``cache``, or a folder that is gone afterwards: pictures of people are kept when asked."""
    if cache:
        yield cache
        return
    with tempfile.TemporaryDirectory(prefix="fsb-faces-") as folder:
        yield Path(folder)


def _speak_once(leads: bool) -> None:
    """Of several processes one tells how it goes; the others only what is wrong."""
    if not leads:
        logging.getLogger().setLevel(logging.WARNING)


def _set_threads(threads: int) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)


def main() -> None:
    """Entry point of ``fsb-train``: our own errors are one line, not a traceback."""
    from fsb_perception.detection import DetectorError
    from fsb_perception.manifest import BundleError
    from fsb_perception.options import OptionError
    from fsb_perception.registry import UnknownNameError
    from fsb_perception.weights import WeightsError
    from fsb_training.datasets import DatasetError

    logging.basicConfig(
        level=logging.INFO,
        format="%(message)s",
        handlers=[RichHandler(console=_console, show_path=False)],
    )
    ours = (
        BundleError, DetectorError, OptionError, UnknownNameError, WeightsError, DatasetError,
    )  # fmt: skip
    try:
        app()
    except (*ours, RuntimeError, ValueError) as error:
        if not isinstance(error, ours) and type(error).__name__ != "TrainingError":
            raise
        Console(stderr=True, soft_wrap=True).print(
            f"[bold red]fsb-train:[/] {escape(str(error))}", highlight=False
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
