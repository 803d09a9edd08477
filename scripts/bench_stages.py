"""Measure the stages of the pipeline in this process, with a clock around each."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any

from fsb_perception.bundles.bundle import load_bundle
from fsb_perception.config import PerceptionConfig
from fsb_perception.detection import build_detector
from fsb_perception.inference.engine import Engine
from fsb_perception.options import build
from fsb_perception.pipeline import FacePipeline
from fsb_perception.samples.clip import FPS, Clip

_WARM_UP, _FRAMES = 30, 300
_FRAME_NS = 1_000_000_000 // FPS


class _Clock:
    """Adds up, by name, the time that wrapped calls take."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args)
            finally:
                self.spent[name] += (time.perf_counter() - start) * 1e3

        return timed


class _Timed:
    """Another object, some of whose methods are timed."""

    def __init__(self, inner: Any, clock: _Clock, **stages: str) -> None:
        self.inner = inner
        self.aligner: Any = None
        for method, stage in stages.items():
            setattr(self, method, clock.around(stage, getattr(inner, method)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def measure_stages(bundle: str, device: str) -> dict[str, Any]:
    """Return the median milliseconds of a frame with three faces by stage, and their shares."""
    config = build(PerceptionConfig, {"bundle": bundle, "engine.device": device})
    clock = _Clock()
    detector = _Timed(build_detector(config.detector), clock, detect="detect")
    engine = _Timed(Engine(load_bundle(bundle), config.engine), clock, encode="encode")
    engine.aligner = _Timed(engine.inner.aligner, clock, align="align")
    pipeline = FacePipeline(config, engine, detector)  # type: ignore[arg-type]
    process = clock.around("total", pipeline.process)
    clip = Clip("steady")
    frames: dict[str, list[float]] = defaultdict(list)
    for index in range(_WARM_UP + _FRAMES):
        picture = clip.frame(index)
        clock.spent.clear()
        process(picture, (index + 1) * _FRAME_NS)
        clock.spent["rest"] = 2 * clock.spent["total"] - sum(clock.spent.values())
        if index >= _WARM_UP:
            for name in ("detect", "align", "encode", "rest", "total"):
                frames[name].append(clock.spent[name])
    medians = {name: round(median(values), 3) for name, values in frames.items()}
    # Shares are taken frame by frame: both numbers of a ratio then met the same load.
    shares = {
        name: round(median(v / t for v, t in zip(values, frames["total"], strict=True)), 3)
        for name, values in frames.items()
    }
    return {"ms": medians, "share": shares, "frames": _FRAMES}
