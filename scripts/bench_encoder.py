#!/usr/bin/env python3
"""Measure latency and memory of the encoder by backbone and system, beside the bare tower.

The bare tower is timm's, which open_clip's models hold as ``visual.trunk``. This is not a test: a
slow machine gets its numbers and status 0.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from bench_latency import formats, latencies
from bench_memory import peaks_mb
from bench_systems import BARE, SYSTEMS
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from fsb_perception.errors import FsbError
from fsb_perception.inference.hardware import choose_device
from fsb_perception.registry import UnknownNameError
from fsb_perception.towers.backbones import BACKBONES

BACKBONES_BY_DEFAULT = ("PE-Core-B-16", "ViT-B-16-SigLIP2", "nano-vit-80")
QUICK = ("PE-Core-micro", "SigLIP2-micro", "nano-vit-80")
QUIET = 0.5  # load average above which something else is running
BF16_TARGET_MS = 45.0  # an image of PE-Core-B-16 at batch 8, where bf16 is in hardware


def measure_encoders(
    backbones: tuple[str, ...] = BACKBONES_BY_DEFAULT,
    systems: tuple[str, ...] = tuple(SYSTEMS),
    batches: tuple[int, ...] = (1, 8),
    repeats: int = 5,
    device: str = "cpu",
    say: Callable[[str | Table], None] = lambda _: None,
) -> dict[str, Any]:
    """Return every number of the tables, by backbone.

    Args:
        backbones: rows of `fsb_perception.towers.backbones`.
        systems: names of `SYSTEMS`; the bare tower is always there.
        batches: faces in a forward.
        repeats: rounds; each meets every system once, and the bare tower before and after it.
        device: auto, cuda or cpu.
        say: takes a line for each step, and the table of each backbone when it is finished.
    """
    where = choose_device(device)
    names, skipped = formats(where)
    for name, reason in skipped.items():
        say(f"{name} left out: {reason}")
    numbers: dict[str, Any] = {"formats": names, "skipped": skipped, "backbones": {}}
    for backbone in backbones:
        say(f"{backbone}: memory, each system in a process of its own ...")
        memory = peaks_mb(backbone, (BARE, *systems), max(batches), str(where))
        rows = []
        for name in names:
            say(f"{backbone}: latency in {name}, {repeats} rounds ...")
            rows += latencies(backbone, systems, batches, repeats, where, name)
        numbers["backbones"][backbone] = {"memory_mb": memory, "latency": rows}
        say(_table(backbone, numbers["backbones"][backbone]))
    return numbers


def _table(backbone: str, numbers: Mapping[str, Any]) -> Table:
    depth = len(BACKBONES[backbone].build().blocks)  # type: ignore[arg-type]
    table = Table(title=_title(backbone, numbers), title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("system")
    for column in ("run", "ms/image", "x bare", "+-", "at most", "MB"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in numbers["latency"]:
        bare = row["system"] == BARE
        low, high = row["ratio_spread"]
        table.add_row(
            row["system"],
            f"{row['format']} x {row['batch']}",
            f"{row['ms_an_image']:.1f}",
            "" if bare else f"{row['ratio']:.3f}",
            "" if bare else f"{(high - low) / 2:.2f}",
            _target(backbone, row, depth),
            f"{numbers['memory_mb'][row['system']]:.0f}",
        )
    return table


def _title(backbone: str, numbers: Mapping[str, Any]) -> str:
    """Return the backbone and the share of the device's matrix rate that its tower reaches."""
    bare = [row for row in numbers["latency"] if row["system"] == BARE]
    lines = [
        f"[bold]{backbone}[/], {bare[0]['gflop_an_image']:.3g} GFLOP an image; bare, it computes"
    ]
    lines += [
        f"  at batch {row['batch']} in {row['format']}: {row['share_of_matmul']:.0%} of the "
        f"{row['matmul_gflop_s']:.0f} GFLOP/s of a matrix product"
        for row in bare
    ]
    return "\n".join(lines)


def _target(backbone: str, row: Mapping[str, Any], depth: int) -> str:
    """Return the limit of a row and whether it is met; ratios have one for towers of 12 blocks."""
    limit = SYSTEMS[row["system"]].limit if row["system"] != BARE and depth == 12 else None
    if limit is not None:
        return f"{limit:g} {'met' if row['ratio'] <= limit else 'missed'}"
    if (backbone, row["system"], row["format"], row["batch"]) == ("PE-Core-B-16", BARE, "bf16", 8):
        met = row["ms_an_image"] <= BF16_TARGET_MS
        return f"{BF16_TARGET_MS:g} ms {'met' if met else 'missed'}"
    return ""


def main(
    backbones: Annotated[
        str, typer.Option(help="rows of fsb_perception.towers.backbones, with commas between")
    ] = ",".join(BACKBONES_BY_DEFAULT),
    systems: Annotated[str, typer.Option(help="systems, with commas between")] = "all",
    batches: Annotated[str, typer.Option(help="faces in a forward, with commas between")] = "1,8",
    repeats: Annotated[int, typer.Option(min=1, help="rounds; their median counts")] = 5,
    device: Annotated[str, typer.Option(help="auto, cuda or cpu")] = "cpu",
    quick: Annotated[bool, typer.Option("--quick", help="miniature towers, two rounds")] = False,
    report: Annotated[Path, typer.Option(help="JSON file of the numbers")] = Path(
        "bench_encoder.json"
    ),
) -> None:
    """Measure latency and memory of every system's encoder beside the bare tower."""
    console = Console()
    if os.getloadavg()[0] > QUIET:
        console.print("Other programs are running: they slow these numbers down.")
    try:
        numbers = measure_encoders(
            QUICK if quick else _names(backbones, BACKBONES, "backbone"),
            tuple(SYSTEMS) if systems == "all" else _names(systems, SYSTEMS, "system"),
            tuple(int(batch) for batch in batches.split(",")),
            2 if quick else repeats,
            device,
            lambda part: console.print(part, highlight=False),
        )
    except (FsbError, RuntimeError, ValueError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None
    report.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    console.print(f"Numbers: {report}", highlight=False)


def _names(text: str, known: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """Return the names between the commas, or raise `UnknownNameError`."""
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known)
    return names


if __name__ == "__main__":
    typer.run(main)
