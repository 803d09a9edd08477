"""Runs what a sweep plans and has not done yet, and keeps a record of each run.

    pretrain once --> towers.safetensors --> for every cell: fit, deploy, judge on TEST, record

A cell whose record is there is done; one that was killed begins again. Several processes share the
cells, each with one thread, so the weights do not depend on how many there are.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import torch
from tqdm import tqdm

from fsb_perception.bundles.bundle import sha256
from fsb_perception.inference.hardware import choose_dtype, format_name
from fsb_perception.model import MultitaskEncoder
from fsb_perception.workers import end_with_parent
from fsb_training.data.faces import Source
from fsb_training.experiments import measure
from fsb_training.experiments.options import ADAPT, DEV, PARTS, PRETRAIN, TEST, Sweep
from fsb_training.experiments.partition import Partition, first, partition
from fsb_training.experiments.plan import Cell
from fsb_training.experiments.records import (
    Record,
    cell_entry,
    pack,
    pack_map,
    record_path,
    require_same,
    write,
)
from fsb_training.experiments.towers import pretrained
from fsb_training.learning import trainer
from fsb_training.learning.assembly import deploy
from fsb_training.params import size
from fsb_training.recipe import Recipe

_log = logging.getLogger(__name__)


def run(sweep: Sweep, cells: Sequence[Cell], folder: Path, records: Path, jobs: int) -> list[str]:
    """Do every cell that has no record yet.

    Args:
        sweep: what it is.
        cells: of its plan.
        folder: of the pretrained towers and checkpoints.
        records: where the records are kept.
        jobs: processes that share the cells.

    Returns:
        What went wrong, a line each cell; the others were done all the same.

    Raises:
        RecordError: records that are there are of another budget, or of other pretrained towers.
    """
    todo = [cell for cell in cells if not record_path(records, cell).is_file()]
    done = [record_path(records, cell) for cell in cells if cell not in todo]
    _log.info("%d of %d runs are done", len(done), len(cells))
    require_same(done, "budget", _common_budget(sweep))
    if not todo:
        return []
    towers = pretrained(sweep.pretraining, parts_of(sweep)[PRETRAIN], folder / PRETRAIN)
    require_same(done, "origin", {"towers": sha256(towers)})
    failures = []
    with ProcessPoolExecutor(jobs, get_context("spawn"), begin_worker) as pool:
        runs = {pool.submit(_do, sweep, cell, towers, folder, records): cell for cell in todo}
        for future in tqdm(as_completed(runs), "runs", len(runs), unit="run"):
            if error := future.exception():
                failures.append(f"{runs[future].name}: {error}")
                tqdm.write(failures[-1])
    return failures


@cache
def parts_of(sweep: Sweep) -> Partition:
    """The faces of a sweep; of ADAPT so many as it has a budget for."""
    data = sweep.pretraining.data
    parts = partition(data, sorted(data.shares), sweep.options.shares)
    return parts | {ADAPT: first(parts[ADAPT], sweep.options.faces)}


def begin_worker() -> None:
    """Make ready a process that shares the work; it ends with the one that began it, however."""
    end_with_parent()
    _quiet()


def _quiet() -> None:
    """One thread a process: sums, and so weights, are the same however many share the work."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)  # a fork after its threads have begun may hang
    logging.getLogger("fsb_training").setLevel(logging.WARNING)


def _do(sweep: Sweep, cell: Cell, towers: Path, folder: Path, records: Path) -> None:
    write(records, cell, record_of(sweep, cell, towers, folder / "runs" / cell.name))


def record_of(sweep: Sweep, cell: Cell, towers: Path, folder: Path) -> Record:
    """Train a cell from its beginning, and judge it.

    Args:
        sweep: what it is part of.
        cell: which.
        towers: pretrained weights.
        folder: of the checkpoint, while it lasts.
    """
    parts = parts_of(sweep)
    sources = _labelled(parts[ADAPT], cell)
    recipe = sweep.recipe(cell, towers, sum(map(len, sources)))
    shutil.rmtree(folder, ignore_errors=True)
    begun = time.monotonic()
    learned = trainer.fit(recipe, folder, sources, [], "cpu")
    seconds = time.monotonic() - begun
    shutil.rmtree(folder)
    encoder = deploy(learned, recipe.adapter)
    test, dev = (measure.answers(encoder, recipe, _labelled(parts[p], cell)) for p in (TEST, DEV))
    size_of = size(cell.name, recipe.adapter, recipe.head, recipe.backbone, recipe.tasks)
    return Record(
        cell=cell_entry(cell),
        budget=_budget(sweep, recipe),
        origin={"towers": sha256(towers), "recipe": _recipe_text(recipe)},
        parameters={"total": size_of.total, "trained": size_of.trained, "added": size_of.added},
        cost={
            "training_seconds": round(seconds, 1),
            "training_bytes": size_of.memory,
            "milliseconds_a_face": measure.milliseconds_a_face(encoder, recipe.sizes[-1]),
            **measure.tower_bytes(encoder, recipe.backbone),
        },
        metrics=measure.judged(test, dev),
        hits={task: pack(hits) for task, hits in measure.hits(test).items()},
        counts=measure.face_counts({p: parts[p] for p in PARTS}),
        maps=_maps(sweep, cell, encoder, recipe) if sweep.options.draws(cell) else {},
    )


def _maps(
    sweep: Sweep, cell: Cell, encoder: MultitaskEncoder, recipe: Recipe
) -> dict[str, dict[str, str]]:
    sources = _labelled(parts_of(sweep)[TEST], cell)
    made = measure.feature_maps_of(encoder, recipe, sources, sweep.options.map_faces)
    return {each.task: pack_map(each.xy, each.labels) for each in made}


def _labelled(sources: Sequence[Source], cell: Cell) -> list[Source]:
    """The sources that know any of the cell's tasks."""
    return [s for s in sources if set(s.faces.labels) & set(cell.tasks)]


def _common_budget(sweep: Sweep) -> dict[str, int]:
    """What every run of a sweep is given."""
    options = sweep.options
    return {"faces": options.faces, "visits": options.visits, "rank": options.rank}


def _budget(sweep: Sweep, recipe: Recipe) -> dict[str, Any]:
    return {
        **_common_budget(sweep),
        "views": recipe.data.views,
        "size": recipe.sizes[-1],
        "precision": format_name(choose_dtype(recipe.optimiser.precision, torch.device("cpu"))),
    }


def _recipe_text(recipe: Recipe) -> str:
    """The recipe without the folders of this machine."""
    return recipe.model_dump_json(exclude={"data": {"root", "cache"}, "weights": True})
