"""Runs the multitask encoder: device, precision, threads and batches."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from fsb_perception.alignment import Aligner
from fsb_perception.bundle import Bundle
from fsb_perception.model import MultitaskEncoder
from fsb_perception.options import OptionError, Options, option
from fsb_perception.types import Floats, Image, check_image

_log = logging.getLogger(__name__)

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class EngineConfig(Options):
    """Where and how the encoder runs."""

    device: str = option("auto", "where the encoder runs", choices=("auto", "cuda", "cpu"))
    precision: str = option(
        "auto",
        "number format of the encoder: auto takes bf16 where the hardware is made for it",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    threads: int = option(0, "CPU threads of the encoder; 0 leaves it to torch", ge=0, le=256)
    fuse: bool = option(
        True, "on the CPU, freeze the encoder into one graph, which is about a fifth faster"
    )
    max_batch: int = option(
        16, "more faces than this are encoded in several batches", ge=1, le=1024
    )


class Engine:
    """A bundle's encoder, ready to run. Safe to share between threads: one batch at a time.

    Args:
        bundle: a verified bundle.
        config: see `EngineConfig`.

    Raises:
        OptionError: the device is not there, or cannot do the precision.
    """

    def __init__(self, bundle: Bundle, config: EngineConfig | None = None) -> None:
        config = config or EngineConfig()
        self.bundle = bundle
        self.device = choose_device(config.device)
        self.dtype = choose_dtype(config.precision, self.device)
        self._max_batch = config.max_batch
        self._preprocessing = bundle.manifest.preprocessing
        self._lock = threading.Lock()
        if config.threads:
            torch.set_num_threads(config.threads)
        model = bundle.build_model().to(self.device, self.dtype).requires_grad_(False)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._model: Callable[[torch.Tensor], dict[str, torch.Tensor]] = model.eval()
        if config.fuse and self.device.type == "cpu":
            self._model = _fused(model, self._preprocessing.size, self.dtype)
        temperatures = bundle.manifest.temperatures
        self._temperatures = {task.name: temperatures.get(task.name, 1.0) for task in bundle.tasks}

    @property
    def aligner(self) -> Aligner:
        """Cuts faces the way the weights expect them."""
        return self._preprocessing.aligner

    def warm_up(self) -> None:
        """Encode blank faces, so that the first real ones do not wait for allocations."""
        side = self._preprocessing.size
        blank = np.zeros((side, side, 3), np.uint8)
        for count in (1, min(3, self._max_batch)):
            self.encode([blank] * count)

    def encode(self, aligned: Sequence[Image]) -> dict[str, Floats]:
        """Calibrated class probabilities of aligned faces.

        Args:
            aligned: uint8 BGR pictures as `aligner` cuts them; may be empty.

        Returns:
            float32 (n, classes) by task name; every row sums to 1.
        """
        for face in aligned:
            check_image(face)
        parts = [
            self._encode_batch(aligned[start : start + self._max_batch])
            for start in range(0, len(aligned), self._max_batch)
        ]
        return {
            task.name: np.concatenate(
                [np.zeros((0, len(task.labels)), np.float32), *(part[task.name] for part in parts)]
            )
            for task in self.bundle.tasks
        }

    def _encode_batch(self, aligned: Sequence[Image]) -> dict[str, Floats]:
        # Optimising anew for every number of faces would hold up the first frame with that many.
        with self._lock, torch.inference_mode(), torch.jit.optimized_execution(False):
            pixels = self._preprocessing.pixels(aligned).to(self.device, self.dtype)
            logits = self._model(pixels)
            # The softmax is taken in float32: half precision would not sum to 1.
            return {
                task: torch.softmax(row.float() / self._temperatures[task], dim=1).cpu().numpy()
                for task, row in logits.items()
            }


def _fused(model: MultitaskEncoder, size: int, dtype: torch.dtype) -> Callable[..., Any]:
    """The model as one frozen graph: with few faces, much of the time goes between operations.

    Checked on another number of faces than it was recorded with; the model itself where it differs.
    """
    example = torch.rand(2, 3, size, size, dtype=dtype).to(memory_format=torch.channels_last)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of branches on the picture's size, which never changes
        graph = torch.jit.freeze(
            torch.jit.trace(model, example[:1], strict=False, check_trace=False)
        )
        expected, actual = model(example), graph(example)
    tolerance = 1e-4 if dtype == torch.float32 else 5e-2
    same = all(torch.allclose(expected[t], actual[t], atol=tolerance) for t in expected)
    if not same:
        _log.warning("the fused encoder differs from the plain one, which is used instead")
    return graph if same else model


def choose_device(name: str) -> torch.device:
    """The device called auto, cuda or cpu; `OptionError` where it is not there."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise OptionError("engine.device: got 'cuda', but torch finds no GPU; use 'cpu' or 'auto'")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number format called auto, fp32, bf16 or fp16; `OptionError` where it cannot be."""
    if name == "fp16" and device.type == "cpu":
        raise OptionError("engine.precision: fp16 is for GPUs; on the CPU use fp32, bf16 or auto")
    if name != "auto":
        return _DTYPES[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    # Without AMX or AVX512-BF16, torch emulates bfloat16 and is hundreds of times slower.
    fast = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else torch.float32
