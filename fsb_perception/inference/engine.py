"""Runs the multitask encoder: device, precision, threads, batches, and memory that runs out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

import numpy as np
import torch

from fsb_perception.alignment import Aligner
from fsb_perception.bundles.bundle import Bundle
from fsb_perception.errors import FsbError
from fsb_perception.inference.graphs import Compiled, Encode, fused
from fsb_perception.inference.hardware import (
    choose_device,
    choose_dtype,
    is_out_of_memory,
    worthwhile_threads,
)
from fsb_perception.options import Options, option
from fsb_perception.types import Floats, Image, check_image

_log = logging.getLogger(__name__)

_FACES_BEFORE_A_ROBOT = 3  # in most frames, at most
_PATIENCE = 3.0  # s of warming up, after which no further size is begun


class EngineMemoryError(FsbError):
    """Memory does not suffice for a single face; the message says what to do."""


class EngineConfig(Options):
    """Where and how the encoder runs."""

    device: str = option("auto", "where the encoder runs", choices=("auto", "cuda", "cpu"))
    precision: str = option(
        "auto",
        "number format of the encoder: auto takes bf16 where it is measured to be faster",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    threads: int = option(
        0, "CPU threads of the encoder; 0 for those that are worth it", ge=0, le=256
    )
    fuse: bool = option(
        True, "on the CPU, freeze the encoder into one graph, which is about a fifth faster"
    )
    compile: bool = option(
        False,
        "use torch.compile, which takes minutes at the start; on the CPU, fuse alone is faster",
    )
    max_batch: int = option(
        16, "more faces than this are encoded in several batches", ge=1, le=1024
    )


def batch_sizes(most: int) -> tuple[int, ...]:
    """The numbers of faces for which shapes are prepared: the powers of two, and the largest.

    >>> batch_sizes(12)
    (1, 2, 4, 8, 12)
    """
    return (*(2**power for power in range((most - 1).bit_length())), most)


class Engine:
    """A bundle's encoder, ready to run. Safe to share between threads: one batch at a time.

    Where memory does not suffice for a batch, smaller ones are used from then on.

    Args:
        bundle: a verified bundle.
        config: see `EngineConfig`.

    Raises:
        OptionError: the device is not there, or cannot do the precision.
    """

    def __init__(self, bundle: Bundle, config: EngineConfig | None = None) -> None:
        config = config or EngineConfig()
        self.bundle = bundle
        self._config = config
        self.device = choose_device(config.device)
        if config.threads:
            torch.set_num_threads(config.threads)
        self.dtype = choose_dtype(config.precision, self.device)
        self._sizes = batch_sizes(config.max_batch)
        self._preprocessing = bundle.manifest.preprocessing
        self._lock = threading.Lock()
        self._model = self._prepare(config)
        temperatures = bundle.manifest.temperatures
        self._temperatures = {task.name: temperatures.get(task.name, 1.0) for task in bundle.tasks}

    def _prepare(self, config: EngineConfig) -> Encode:
        model = self.bundle.build_model().to(self.device).requires_grad_(False).eval()
        model.cast_tower(self.dtype)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        plain: Encode = model
        if config.fuse and self.device.type == "cpu":
            plain = fused(model, self._preprocessing.size, self.dtype)
        return Compiled(model, plain, len(self._sizes)) if config.compile else plain

    @property
    def aligner(self) -> Aligner:
        """Cuts faces the way the weights expect them."""
        return self._preprocessing.aligner

    @property
    def max_batch(self) -> int:
        """Faces that are encoded at once; less than was configured once memory has run out."""
        return self._sizes[-1]

    def warm_up(self) -> None:
        """Encode blank faces, one batch of each size, so that no real face waits for preparations.

        Where nothing is compiled, sizes that a slow tower would take long for are left out.

        Raises:
            EngineMemoryError: memory does not suffice for a single face.
        """
        side = self._preprocessing.size
        blank = np.zeros((side, side, 3), np.uint8)
        begun = time.monotonic()
        for count in self._sizes:
            if time.monotonic() - begun > _PATIENCE and not isinstance(self._model, Compiled):
                return
            self.encode([blank] * count)

    def share_cores(self) -> None:
        """Compute with no more threads than are worth it, where other programs want the cores.

        Does nothing on a GPU, or where `EngineConfig.threads` says how many.
        """
        if self.device.type == "cpu" and not self._config.threads:
            side = self._preprocessing.size
            faces = [np.zeros((side, side, 3), np.uint8)] * _FACES_BEFORE_A_ROBOT
            torch.set_num_threads(worthwhile_threads(lambda: self.encode(faces)))

    def encode(self, aligned: Sequence[Image]) -> dict[str, Floats]:
        """Calibrated class probabilities of aligned faces.

        Args:
            aligned: uint8 BGR pictures as `aligner` cuts them; may be empty.

        Returns:
            float32 (n, classes) by task name; every row sums to 1.

        Raises:
            EngineMemoryError: memory does not suffice for a single face.
        """
        for face in aligned:
            check_image(face)
        parts, done = [], 0
        while done < len(aligned):
            batch = aligned[done : done + self.max_batch]
            part = self._try_batch(batch)
            if part is not None:
                parts.append(part)
                done += len(batch)
        return {
            task.name: np.concatenate(
                [np.zeros((0, len(task.labels)), np.float32), *(part[task.name] for part in parts)]
            )
            for task in self.bundle.tasks
        }

    def _try_batch(self, aligned: Sequence[Image]) -> dict[str, Floats] | None:
        """Probabilities of a batch; None where memory ran out, so that a smaller one is due."""
        count = self._padded(len(aligned))
        with self._lock:
            try:
                return self._encode_batch(aligned, count)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                why = (str(error).splitlines() or [type(error).__name__])[0]
            # Only out here has the error, and with it what it held of the batch, gone.
            self._take_smaller_than(count, why)
        return None

    def _take_smaller_than(self, count: int, why: str) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        smaller = tuple(size for size in self._sizes if size < count)
        if not smaller:
            raise EngineMemoryError(
                f"memory on {self.device} does not suffice for one face of "
                f"{self._preprocessing.size} px in {self.bundle.bundle_id}: {why}. "
                "End other programs, or use a bundle with a smaller backbone"
                f"{'' if self.device.type == 'cpu' else ', or set engine.device to cpu'}."
            )
        self._sizes = smaller
        _log.warning(
            "memory does not suffice for %d faces at once; from now on %d (%s)",
            count,
            smaller[-1],
            why,
        )

    def _padded(self, count: int) -> int:
        """How many faces are run for ``count``: of a compiled model only prepared numbers.

        Other forms take any number at little cost, less than the faces added would be.
        """
        if not (isinstance(self._model, Compiled) and self._model.works):
            return count
        return next((size for size in self._sizes if size >= count), count)

    def _encode_batch(self, aligned: Sequence[Image], count: int) -> dict[str, Floats]:
        faces = [*aligned, *[aligned[-1]] * (count - len(aligned))]
        # Optimising anew for every number of faces would hold up the first frame with that many.
        with torch.inference_mode(), torch.jit.optimized_execution(False):
            pixels = self._preprocessing.pixels(faces).to(self.device, self.dtype)
            logits = self._model(pixels)
            # The softmax is taken in float32: half precision would not sum to 1.
            return {
                task: torch.softmax(row[: len(aligned)].float() / self._temperatures[task], dim=1)
                .cpu()
                .numpy()
                for task, row in logits.items()
            }
