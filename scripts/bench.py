#!/usr/bin/env python3
"""Measure the speed and memory of the node on this machine: tables, and bench.json.

This is not a test: a slow machine gets its numbers and status 0. A run fails only if it did not
measure what it claims, that is, if a face was not encoded in some frame.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from fsb_perception.command_options import BundleOption, DeviceOption
from fsb_perception.errors import FsbError
from fsb_perception.ros import environment

TARGETS = {"fps": 30.0, "p95_ms": 40.0, "rss_mb": 1000.0}
_QUIET = 0.5  # load average above which something else is running


def main(
    bundle: BundleOption = "nano",
    device: DeviceOption = "cpu",
    seconds: Annotated[float, typer.Option(min=2.0, help="length of one run of the line")] = 20.0,
    runs: Annotated[int, typer.Option(min=1, help="runs of the line; the median counts")] = 3,
    frames: Annotated[
        int, typer.Option(min=0, help="frames over which memory is watched; 0 leaves it out")
    ] = 10_000,
    encoders: Annotated[
        bool, typer.Option(help="measure larger backbones and every system too, some minutes")
    ] = True,
    training: Annotated[
        bool, typer.Option(help="measure the training of every system too, some minutes")
    ] = True,
    cores: Annotated[int, typer.Option(min=0, help="CPU cores to use; 0 for all")] = 2,
    report: Annotated[Path, typer.Option(help="JSON file of the numbers")] = Path("bench.json"),
) -> None:
    """Measure the camera and the node as the demo runs them: three faces, 640x480, 30 a second."""
    environment.prepare()
    console = Console()
    if cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    machine = _machine()
    console.print(f"on {machine}", highlight=False)
    if os.getloadavg()[0] > _QUIET:
        console.print("Other programs are running: they slow these numbers down.")
    try:
        numbers = _measure(console, bundle, device, seconds, runs, frames)
    except FsbError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None
    console.print(f"\ncamera -> node -> answer, median of {runs} runs of {seconds:g} s")
    console.print(_line_table(numbers["line"], numbers["memory"]))
    console.print("\nthe node's work on one frame with three faces, median")
    console.print(_stage_table(numbers["stages"]))
    console.print(_replay_words(numbers["replay"]), highlight=False)
    if encoders:
        numbers["encoders"] = _measure_encoders(console, device)
    if training:
        numbers["training"] = _measure_training(console)
    report.write_text(
        json.dumps({"machine": machine, **numbers}, indent=2) + "\n", encoding="utf-8"
    )
    console.print(f"Numbers: {report}", highlight=False)


def _measure(
    console: Console, bundle: str, device: str, seconds: float, runs: int, frames: int
) -> dict[str, Any]:
    # Only now, with the environment ready, may ROS be loaded.
    from bench_line import measure_line, measure_memory
    from bench_replay import measure_replay
    from bench_stages import measure_stages

    console.print("the stages of the pipeline, in this process ...")
    stages = measure_stages(bundle, device)
    console.print("a recording, judged offline ...")
    replay = measure_replay(bundle, device)
    line = []
    for index in range(runs):
        console.print(f"camera and node, run {index + 1} of {runs}, {seconds:g} s ...")
        line.append(measure_line(bundle, device, seconds))
    memory: dict[str, Any] = {}
    if frames:
        console.print(f"memory of the node over {frames} frames ...")
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("frames", total=frames)
            memory = measure_memory(
                bundle, device, frames, lambda done: progress.update(task, completed=done)
            )
    return {
        "targets": TARGETS,
        "line": {"runs": line, "median": _medians(line)},
        "memory": memory,
        "stages": stages,
        "replay": replay,
    }


def _measure_encoders(console: Console, device: str) -> dict[str, Any]:
    from bench_encoder import measure_encoders

    console.print("\nevery system's encoder beside the bare tower, random weights")
    return measure_encoders(device=device, say=lambda part: console.print(part, highlight=False))


def _measure_training(console: Console) -> dict[str, Any]:
    from bench_training import BACKBONES_BY_DEFAULT, measure_training

    console.print("\nevery system's training beside its bare tower, random weights")
    return measure_training(
        BACKBONES_BY_DEFAULT, say=lambda part: console.print(part, highlight=False)
    )


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(median(run[name] for run in runs), 2) for name in runs[0]}


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    load = os.getloadavg()[0]
    return f"{cores} cores of {names[0] if names else platform.machine()}, load before {load:.1f}"


def _line_table(line: dict[str, Any], memory: dict[str, Any]) -> Table:
    medians = line["median"]
    table = Table("", "measured", "target")
    rows = [
        ("frames a second", f"{medians['fps']:.1f}", f"{TARGETS['fps']:g}, the camera's"),
        ("frames dropped", f"{medians['dropped_percent']:.1f} %", "0"),
        ("latency, median", f"{medians['p50_ms']:.1f} ms", ""),
        ("latency, 95th percentile", f"{medians['p95_ms']:.1f} ms", f"<= {TARGETS['p95_ms']:g} ms"),
        ("faces encoded", f"{medians['faces']:.0f} in every frame", "3 in every frame"),
        ("memory of the node", f"{medians['rss_mb']:.0f} MB", f"<= {TARGETS['rss_mb']:g} MB"),
    ]
    if memory:
        slope = memory["growth_mb_per_1000_frames"]
        growth = "too few frames to tell" if slope is None else f"{slope:+.2f} MB/1000 frames"
        rows.append((f"growth over {memory['frames']} frames", growth, "flat"))
    for row in rows:
        table.add_row(*row)
    return table


def _replay_words(replay: dict[str, Any]) -> str:
    return (
        "\na recording of one camera with three faces, judged offline: "
        f"{replay['times_real_time']:.1f} times real time (target {replay['target']:g}); "
        f"decoding its images alone: {replay['decoding_alone_times_real_time']:.1f} times"
    )


def _stage_table(stages: dict[str, Any]) -> Table:
    table = Table("stage", "ms", "share")
    for name, milliseconds in stages["ms"].items():
        table.add_row(name, f"{milliseconds:.2f}", f"{stages['share'][name]:.0%}")
    return table


if __name__ == "__main__":
    typer.run(main)
