"""The runs of a sweep: each planned run that has no record yet is done, and its record kept.

    pretrain once --> towers.safetensors --> for every cell: fit, deploy, judge on TEST, record

A cell is done if its record is there; a cell that was killed begins again. Several processes share
the cells. Each has one thread, so the weights do not depend on the number of processes.
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

import cv2
import torch

from fsb_perception.files import sha256_of
from fsb_perception.inference.hardware import choose_dtype, format_name
from fsb_perception.model import MultitaskEncoder
from fsb_perception.progress import SILENT, Progress
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


def run(
    sweep: Sweep,
    cells: Sequence[Cell],
    folder: Path,
    records: Path,
    jobs: int,
    progress: Progress = SILENT,
) -> list[str]:
    """Do every cell that has no record yet.

    Args:
        sweep: the sweep.
        cells: cells of its plan.
        folder: folder of the pretrained towers and checkpoints.
        records: folder of the records.
        jobs: number of processes that share the cells.
        progress: shows pictures in which faces are detected, steps of pretraining, and cells.

    Returns:
        One line for each cell that failed; the other cells are done all the same.

    Raises:
        RecordError: an earlier record has another budget, or other pretrained towers.
    """
    todo = [cell for cell in cells if not record_path(records, cell).is_file()]
    done = [record_path(records, cell) for cell in cells if cell not in todo]
    _log.info("%d of %d runs are done", len(done), len(cells))
    require_same(done, "budget", _common_budget(sweep))
    if not todo:
        return []
    sources = parts_of(sweep, progress)[PRETRAIN]
    towers = pretrained(sweep.pretraining, sources, folder / PRETRAIN, progress)
    require_same(done, "origin", {"towers": sha256_of(towers)})
    failures = []
    with ProcessPoolExecutor(jobs, get_context("spawn"), begin_worker) as pool:
        runs = {pool.submit(_do, sweep, cell, towers, folder, records): cell for cell in todo}
        for future in progress.track("runs", as_completed(runs), len(runs)):
            if error := future.exception():
                failures.append(f"{runs[future].name}: {error}")
                _log.error(failures[-1])
    return failures


@cache
def parts_of(sweep: Sweep, progress: Progress = SILENT) -> Partition:
    """Return the faces of a sweep by part; ADAPT is cut to the budget."""
    data = sweep.pretraining.data
    parts = partition(data, sorted(data.shares), sweep.options.shares, progress)
    return parts | {ADAPT: first(parts[ADAPT], sweep.options.faces)}


def begin_worker() -> None:
    """Prepare a worker process; it ends with the process that started it, however that ends."""
    end_with_parent()
    _quiet()


def _quiet() -> None:
    """Use one thread, so that sums, and so weights, do not depend on the number of processes."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)  # a fork after OpenCV has started threads may hang
    logging.getLogger("fsb_training").setLevel(logging.WARNING)


def _do(sweep: Sweep, cell: Cell, towers: Path, folder: Path, records: Path) -> None:
    write(records, cell, record_of(sweep, cell, towers, folder / "runs" / cell.name))


def record_of(sweep: Sweep, cell: Cell, towers: Path, folder: Path) -> Record:
    """Train a cell from its beginning, and judge it.

    Args:
        sweep: the sweep.
        cell: one of its cells.
        towers: file of the pretrained weights.
        folder: folder of the checkpoint, which is removed after the training.
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
        origin={"towers": sha256_of(towers), "recipe": _recipe_text(recipe)},
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
    maps = measure.feature_maps_of(encoder, recipe, sources, sweep.options.map_faces)
    return {item.task: pack_map(item.xy, item.labels) for item in maps}


def _labelled(sources: Sequence[Source], cell: Cell) -> list[Source]:
    """Return the sources that have labels of a task of the cell."""
    return [s for s in sources if set(s.faces.labels) & set(cell.tasks)]


def _common_budget(sweep: Sweep) -> dict[str, int]:
    """Return the budget that all runs of a sweep share."""
    options = sweep.options
    return {"faces": options.faces, "visits": options.visits, "rank": options.rank}


def _budget(sweep: Sweep, recipe: Recipe) -> dict[str, object]:
    return {
        **_common_budget(sweep),
        "views": recipe.data.views,
        "size": recipe.sizes[-1],
        "precision": format_name(choose_dtype(recipe.optimiser.precision, torch.device("cpu"))),
    }


def _recipe_text(recipe: Recipe) -> str:
    """Return the recipe as JSON, without the folders of this machine."""
    return recipe.model_dump_json(exclude={"data": {"root", "cache"}, "weights": True})
