"""The cost of a bundle on this machine: parameters, memory, and time for a face."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from fsb_perception.bundles.bundle import Bundle
from fsb_perception.inference.config import EngineConfig
from fsb_perception.inference.engine import Engine
from fsb_perception.inference.hardware import DTYPES
from fsb_perception.inference.runtimes import Runtime
from fsb_perception.inference.threads import usable_threads
from fsb_perception.towers.backbones import BACKBONES, Backbone
from fsb_perception.towers.text import build_text_tower, text_config

BATCHES = (1, 8)
_REPEATS = 15
_PATIENCE = 10.0  # s, after which three repeats are enough


@dataclass(frozen=True)
class TextTower:
    """The cost that the text tower would add, if it ran on the robot.

    Attributes:
        parameters: number of its parameters.
        memory_bytes: bytes of its weights, in the precision of the image tower.
        seconds: time to encode one text for every label.
    """

    parameters: int
    memory_bytes: int
    seconds: float


@dataclass(frozen=True)
class Efficiency:
    """Parameters, memory and time of a bundle.

    Attributes:
        machine: name of the processor or GPU.
        threads: number of CPU threads that torch used.
        load: mean number of programs that wanted the CPU, over the minute before.
        precision: number format of the tower, for instance "float32".
        parameters: number of parameters of tower and heads.
        bundle_bytes: size of the bundle on disk.
        memory_bytes: bytes of the weights, as they are run.
        seconds: median time of a batch, by the number of its faces.
        text: cost of the text tower; None if the backbone has none.
    """

    machine: str
    threads: int
    load: float
    precision: str
    parameters: int
    bundle_bytes: int
    memory_bytes: int
    seconds: dict[int, float]
    text: TextTower | None


def measure(bundle: Bundle, config: EngineConfig) -> Efficiency:
    """Load a bundle as the robot does, and time it on blank faces."""
    engine = Engine(bundle, config)
    side = bundle.manifest.preprocessing.size
    blank = np.zeros((side, side, 3), np.uint8)
    precision = engine.runtime.precision
    model = bundle.build_model().cast_tower(DTYPES[precision])
    row = BACKBONES[bundle.manifest.backbone]
    labels = sum(len(task.labels) for task in bundle.tasks)
    return Efficiency(
        machine=machine(torch.device(engine.runtime.device)),
        threads=config.threads or usable_threads(),
        load=os.getloadavg()[0],
        precision=precision,
        parameters=_parameters(model),
        bundle_bytes=bundle.size_bytes,
        memory_bytes=sum(t.numel() * t.element_size() for t in model.state_dict().values()),
        seconds={n: _seconds(lambda n=n: engine.encode([blank] * n)) for n in BATCHES},  # type: ignore[misc]
        text=_text(row, labels, engine.runtime) if row.has_text else None,
    )


def machine(device: torch.device) -> str:
    """Return the name of the GPU or the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _text(row: Backbone, labels: int, runtime: Runtime) -> TextTower:
    """Measure a text tower with random weights: size and time do not depend on their values."""
    dtype = DTYPES[runtime.precision]
    tower = build_text_tower(row).to(runtime.device, dtype).requires_grad_(False).eval()
    shape = (labels, text_config(row)["context_length"])
    tokens = torch.zeros(shape, dtype=torch.long, device=runtime.device)

    def encode() -> None:
        with torch.inference_mode():
            tower(tokens).cpu()

    parameters = _parameters(tower)
    return TextTower(parameters, parameters * dtype.itemsize, _seconds(encode))


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _seconds(call: Callable[[], object]) -> float:
    """Return the median time of several calls, after two that warm up."""
    for _ in range(2):
        call()
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < _REPEATS:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
        if len(times) >= 3 and time.perf_counter() - begun > _PATIENCE:
            break
    return median(times)
