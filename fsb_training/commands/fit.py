"""``fsb-train fit``, ``export`` and ``recipes``: train bundles."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path

from fsb_perception.command_options import DeviceOption
from fsb_perception.progress import SILENT
from fsb_training.commands import tables
from fsb_training.commands.options import (
    CONSOLE,
    PROGRESS,
    RecipeFile,
    Run,
    Settings,
    Threads,
    set_threads,
)


def fit(
    recipe: RecipeFile,
    settings: Settings = None,
    run: Run = None,
    device: DeviceOption = "auto",
    threads: Threads = 0,
) -> None:
    """Train a bundle. After a stop of any kind, the same command continues from the checkpoint.

    The checkpoint, the log and, at the end, the calibrated bundle are written to the run's folder.

    Several processes share every batch: torchrun --nproc_per_node 2 -m fsb_training.cli -- fit ...
    """
    from fsb_training.data.sources import open_sources
    from fsb_training.export import export as export_bundle
    from fsb_training.learning import distributed, trainer
    from fsb_training.locks import held
    from fsb_training.recipe import load_recipe

    chosen = load_recipe(recipe, settings or ())
    folder = run or Path("runs") / chosen.name
    set_threads(threads)
    options = chosen.optimiser
    with distributed.joined(options.batch_size, device, options.precision) as world:
        _log_once(world.leads)
        progress = PROGRESS if world.leads else SILENT
        # Errors of recipe, weights and folder come first: finding the faces may take hours.
        with held(folder) if world.leads else nullcontext():
            state = trainer.begin(chosen, folder, device, world)
            with world.leader_first():
                sources, dev = open_sources(chosen, progress)
            encoder = trainer.fit(chosen, folder, sources, dev, device, world, state, progress)
            if not world.leads:
                return
            bundle = export_bundle(chosen, encoder, folder / "bundle", sources, dev, progress)
    CONSOLE.print(tables.metrics_table(bundle.manifest.metrics))
    CONSOLE.print(f"{bundle.bundle_id}, {bundle.size_bytes / 1e6:.1f} MB, in {bundle.folder}")
    CONSOLE.print(f"For robots without torch: fsb bundle upgrade {bundle.folder}")


def export(recipe: RecipeFile, to: Path, settings: Settings = None, run: Run = None) -> None:
    """Make a calibrated bundle in folder TO from the last checkpoint of a run."""
    from fsb_training.data.sources import open_sources
    from fsb_training.export import export as export_bundle
    from fsb_training.learning import trainer
    from fsb_training.recipe import load_recipe

    chosen = load_recipe(recipe, settings or ())
    folder = run or Path("runs") / chosen.name
    if not (folder / trainer.CHECKPOINT).is_file():
        raise trainer.TrainingError(
            f"there is no {trainer.CHECKPOINT} in {folder}: name the run's folder by --run"
        )
    trainer.require_own(chosen, folder)
    state = trainer.resume(chosen, folder)
    sources, dev = open_sources(chosen, PROGRESS)
    bundle = export_bundle(chosen, state.shipped(), to, sources, dev, PROGRESS)
    CONSOLE.print(tables.metrics_table(bundle.manifest.metrics))
    CONSOLE.print(f"{bundle.bundle_id} after step {state.step}, in {bundle.folder}")
    CONSOLE.print(f"For robots without torch: fsb bundle upgrade {bundle.folder}")


def recipes() -> None:
    """List the recipes that ship, each by the name that `fit` takes."""
    from fsb_training.recipe_files import shipped_recipes

    CONSOLE.print(tables.recipes_table(shipped_recipes()))


def _log_once(leads: bool) -> None:
    """Keep the log of the leading process alone; the other processes log warnings only."""
    if not leads:
        logging.getLogger().setLevel(logging.WARNING)
