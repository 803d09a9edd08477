#!/usr/bin/env python3
"""Measure the training rate of each system beside a forward and backward of its bare tower.

All parameters of the bare tower get gradients, from the sum of its features; it has no optimiser,
averages or heads. A system takes the trainer's own step. Both take turns, so a machine that slows
down for a while does not change their ratio. Pictures are prepared noise; preparing pictures is
measured apart, as the share of `fit`'s steps that waited for data.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from fsb_perception.errors import FsbError
from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS
from fsb_perception.towers.backbones import BACKBONES
from fsb_training.data.batches import Batch, loader
from fsb_training.data.faces import Source
from fsb_training.data.store import FaceStore
from fsb_training.datasets.faceset import FaceSet
from fsb_training.learning.objectives import build_batches
from fsb_training.learning.state import start
from fsb_training.learning.step import train_step
from fsb_training.recipe import Recipe
from fsb_training.systems import SYSTEMS

BACKBONES_BY_DEFAULT = {"nano-clip-64": 64, "PE-Core-B-16": 4}
"""Pictures in a step, by backbone."""
_BACKBONES = ",".join(f"{name}:{count}" for name, count in BACKBONES_BY_DEFAULT.items())
DATA_TARGET = 0.1  # share of a step that may pass waiting for data
# Settings that the defaults of a method must change for small towers and their texts.
_SMALL = {"partial": {"blocks": 2}, "softcpt": {"context": 8}}
_SIDE, _FACES = 112, 256


def measure_training(
    backbones: dict[str, int],
    systems: tuple[str, ...] = tuple(SYSTEMS),
    repeats: int = 3,
    say: Callable[[str | Table], None] = lambda _: None,
) -> dict[str, Any]:
    """Return every number of the tables, by backbone."""
    for name in systems:
        if name not in SYSTEMS:
            raise UnknownNameError("system", name, SYSTEMS)
    numbers = {}
    for backbone, batch in backbones.items():
        say(f"{backbone}: every system's step, {batch} pictures ...")
        rows = [_row(backbone, system, batch, repeats) for system in systems]
        numbers[backbone] = {"batch": batch, "rows": rows, "waiting": waiting(backbone, batch)}
        say(_table(backbone, numbers[backbone]))
    return numbers


def _row(backbone: str, system: str, batch: int, repeats: int) -> dict[str, Any]:
    recipe = recipe_of(backbone, system, batch)
    state, batches = start(recipe), [_noise(recipe)]
    # As the trainer has it: convolutions gain.
    tower = BACKBONES[backbone].build()
    tower.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = torch.randn(batch, 3, *[recipe.sizes[0]] * 2)
    pixels = pixels.contiguous(memory_format=torch.channels_last)

    def bare() -> None:
        tower.zero_grad(set_to_none=True)
        tower(pixels).sum().backward()

    step = partial(train_step, state, batches, recipe)
    for call in (bare, step):
        call()  # the first takes memory
    pairs = [(_seconds(bare), _seconds(step)) for _ in range(repeats)]
    return {
        "system": system,
        "images_a_second": batch / median(own for _, own in pairs),
        "bare_images_a_second": batch / median(plain for plain, _ in pairs),
        "ratio": median(plain / own for plain, own in pairs),
    }


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def recipe_of(backbone: str, system: str, batch: int, images: int = 10**6) -> Recipe:
    """Return the recipe of a system on random weights."""
    row, chosen = BACKBONES[backbone], SYSTEMS[system]
    adapter = chosen.adapter(8)
    if row.family == "nano":
        adapter = adapter.model_copy(update=_SMALL.get(str(chosen.settings["method"]), {}))
    return Recipe.model_validate(
        {
            "name": "bench",
            "backbone": backbone,
            "adapter": adapter,
            "head": chosen.head,
            "sizes": (row.size,),
            "stage_shares": (1.0,),
            "weights": {"tower": "random", "text": "random"},
            "data": {"shares": {"Noise": 1.0}},
            "optimiser": {"images": images, "batch_size": batch, "warmup_images": 0},
        }
    )


def _noise(recipe: Recipe) -> Batch:
    count, side = recipe.optimiser.batch_size, recipe.sizes[0]
    pixels = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)
    labels = torch.arange(count)
    sizes = {task: len(TASKS[task].labels) for task in recipe.tasks}
    return Batch(pixels, {task: torch.eye(n)[labels % n] for task, n in sizes.items()})


def waiting(backbone: str, batch: int, steps: int = 12) -> float:
    """Share of full fine-tuning's steps that waited for pictures, which a process makes ahead."""
    recipe = recipe_of(backbone, "full fine-tuning", batch, images=batch * steps)
    state, waited, worked = start(recipe), 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        batches = loader(build_batches([_made_up(Path(folder))], recipe), 0)
        next(batches)  # the process that makes them starts
        begun = time.perf_counter()
        for group in batches:
            waited += time.perf_counter() - begun
            worked += _seconds(partial(train_step, state, group, recipe))
            begun = time.perf_counter()
    return waited / (waited + worked)


def _made_up(folder: Path) -> Source:
    """Pictures of noise with a face all over, as data sets are kept."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, _FACES * _SIDE * _SIDE * 3, np.uint8)
    (folder / "pixels.bin").write_bytes(pixels.tobytes())
    points = _SIDE * np.array([[0.35, 0.4], [0.65, 0.4], [0.5, 0.6], [0.38, 0.75], [0.62, 0.75]])
    store = FaceStore(
        np.memmap(folder / "pixels.bin", np.uint8, "r"),
        np.arange(_FACES + 1) * _SIDE * _SIDE * 3,
        np.full((_FACES, 2), _SIDE),
        np.tile(np.array([0, 0, _SIDE, _SIDE], np.float32), (_FACES, 1)),
        np.tile(points.astype(np.float32), (_FACES, 1, 1)),
    )
    labels = {task: np.arange(_FACES) % len(row.labels) for task, row in TASKS.items()}
    files = tuple(f"{n}.jpg" for n in range(_FACES))
    faces = FaceSet(name="Noise", part="fit", root=folder, files=files, labels=labels)
    return Source(faces, store, np.arange(_FACES))


def _table(backbone: str, numbers: dict[str, Any]) -> Table:
    share = numbers["waiting"]
    table = Table(
        "system",
        box=SIMPLE,
        title=f"{backbone}, {numbers['batch']} pictures a step, {torch.get_num_threads()} threads",
        caption=f"{share:.1%} of a step waits for data; at most {DATA_TARGET:.0%}",
    )
    for column in ("images a second", "bare tower", "x bare"):
        table.add_column(column, justify="right")
    for row in numbers["rows"]:
        table.add_row(
            row["system"],
            f"{row['images_a_second']:.1f}",
            f"{row['bare_images_a_second']:.1f}",
            f"{row['ratio']:.2f}",
        )
    return table


def main(
    backbones: Annotated[
        str, typer.Option(help="NAME:PICTURES_A_STEP, a comma between them")
    ] = _BACKBONES,
    systems: Annotated[str, typer.Option(help="names, separated by semicolons; default: all")] = "",
    repeats: Annotated[int, typer.Option(min=1, help="rounds; the median counts")] = 3,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to torch")] = 0,
    report: Annotated[Path | None, typer.Option(help="JSON file of the numbers")] = None,
) -> None:
    """Measure training pictures a second of each system beside a bare forward and backward."""
    console = Console()
    if threads:
        torch.set_num_threads(threads)
    try:
        pairs = [pair.partition(":") for pair in backbones.split(",")]
        chosen = {backbone: int(batch) for backbone, _, batch in pairs}
        names = tuple(name.strip() for name in systems.split(";") if name.strip()) or tuple(SYSTEMS)
        numbers = measure_training(chosen, names, repeats, console.print)
    except (FsbError, ValueError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None
    if report:
        report.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
