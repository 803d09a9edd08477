"""The running encoder: device, precision, threads, batch sizes, and what to do without memory."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence

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

_USUAL_FACES = 3  # that a robot sees in most frames, at most
_WARM_UP_S = 3.0  # after which no further batch size is begun


class EngineMemoryError(FsbError):
    """A lack of memory for a single face; the message says what to do."""


class NotFiniteError(FsbError):
    """An encoder that answers without numbers; the message says what to do."""


class EngineConfig(Options):
    """Options of the encoder: where and how it runs.

    >>> EngineConfig(device="cpu").precision
    'auto'
    """

    device: str = option("auto", "where the encoder runs", choices=("auto", "cuda", "cpu"))
    precision: str = option(
        "auto",
        "number format of the encoder: auto takes bf16 where it is measured to be faster",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    threads: int = option(
        0, "CPU threads of the encoder; 0 for as many as are worth it", ge=0, le=256
    )
    fuse: bool = option(
        True, "on the CPU, freeze the encoder into one graph, which is about a fifth faster"
    )
    compile: bool = option(
        False,
        "use torch.compile on a GPU, which takes minutes at the start; the CPU, where fuse is "
        "faster, ignores it",
    )
    max_batch: int = option(
        16, "more faces than this are encoded in several batches", ge=1, le=1024
    )


def batch_sizes(most: int) -> tuple[int, ...]:
    """Return the numbers of faces for which shapes are prepared: powers of two, and the largest.

    >>> batch_sizes(12)
    (1, 2, 4, 8, 12)
    """
    return (*(2**power for power in range((most - 1).bit_length())), most)


class Engine:
    """A bundle's encoder, ready to run. Threads may share it: it computes one batch at a time.

    After a batch for which memory does not suffice, the engine uses smaller ones.

    Args:
        bundle: a verified bundle.
        config: see `EngineConfig`.
        model: runs in place of the bundle's weights: from float pixels (n, 3, size, size) to
            logits (n, classes) by task name.

    Attributes:
        bundle: as given.
        device: that computes.
        dtype: number format of the pixels and of the tower.
        model: the function that computes logits: the plain encoder, a frozen graph, `Compiled`, or
            the one given.

    Raises:
        OptionError: this machine lacks the device, or the device cannot do the precision.
        BundleError: the weights do not fit the manifest.

    >>> from fsb_perception.bundles.bundle import load_bundle
    >>> nano = load_bundle("nano")
    >>> def undecided(pixels):
    ...     return {task.name: torch.zeros(len(pixels), len(task.labels)) for task in nano.tasks}
    >>> engine = Engine(nano, EngineConfig(device="cpu"), model=undecided)
    >>> engine.encode([np.zeros((96, 96, 3), np.uint8)])["gender"].tolist()
    [[0.5, 0.5]]
    """

    def __init__(
        self, bundle: Bundle, config: EngineConfig | None = None, *, model: Encode | None = None
    ) -> None:
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
        self.model = model or self._prepare(config)
        temperatures = bundle.manifest.temperatures
        self._temperatures = {task.name: temperatures.get(task.name, 1.0) for task in bundle.tasks}

    def _prepare(self, config: EngineConfig) -> Encode:
        model = self.bundle.build_model().to(self.device).requires_grad_(False).eval()
        model.cast_tower(self.dtype)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.device.type == "cpu":
            if config.compile:
                _log.warning("engine.compile is ignored on the CPU, where engine.fuse is faster")
            return fused(model, self._preprocessing.size, self.dtype) if config.fuse else model
        return Compiled(model, len(self._sizes)) if config.compile else model

    @property
    def aligner(self) -> Aligner:
        """The aligner that cuts faces as the weights expect them."""
        return self._preprocessing.aligner

    @property
    def max_batch(self) -> int:
        """Most faces in one batch; smaller than configured once memory has run out."""
        return self._sizes[-1]

    def warm_up(self) -> None:
        """Encode made-up faces, one batch of each size, so that no real face waits for it.

        Without a compiled model it stops after 3 s: a slow tower leaves the larger sizes out.

        Raises:
            EngineMemoryError: memory does not suffice for a single face.
            NotFiniteError: the encoder answers without numbers.
        """
        side = self._preprocessing.size
        noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        started = time.monotonic()
        for count in self._sizes:
            if time.monotonic() - started > _WARM_UP_S and not isinstance(self.model, Compiled):
                return
            self.encode([noise] * count)

    def share_cores(self) -> None:
        """Reduce the threads to those that are worth it, so that other programs have the cores.

        Does nothing on a GPU, or if `EngineConfig.threads` gives the number.
        """
        if self.device.type == "cpu" and not self._config.threads:
            side = self._preprocessing.size
            faces = [np.zeros((side, side, 3), np.uint8)] * _USUAL_FACES
            torch.set_num_threads(worthwhile_threads(lambda: self.encode(faces)))

    def encode(self, aligned: Sequence[Image]) -> dict[str, Floats]:
        """Return the calibrated class probabilities of aligned faces.

        Args:
            aligned: uint8 BGR pictures (size, size, 3) as `aligner` cuts them; may be empty.

        Returns:
            float32 (n, classes) by task name; every row sums to 1.

        Raises:
            EngineMemoryError: memory does not suffice for a single face.
            NotFiniteError: an answer is NaN, which no label may stand beside.
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
        """Return the probabilities of a batch; None if memory ran out and it must be smaller."""
        count = self._padded(len(aligned))
        with self._lock:
            try:
                return self._encode_batch(aligned, count)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                reason = (str(error).splitlines() or [type(error).__name__])[0]
            # Outside of the handler: the error, which holds tensors of the batch, is freed by now.
            self._take_smaller_than(count, reason)
        return None

    def _take_smaller_than(self, count: int, reason: str) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        smaller = tuple(size for size in self._sizes if size < count)
        if not smaller:
            raise EngineMemoryError(
                f"memory on {self.device} does not suffice for one face of "
                f"{self._preprocessing.size} px in {self.bundle.bundle_id}: {reason}. "
                "End other programs, or use a bundle with a smaller backbone"
                f"{'' if self.device.type == 'cpu' else ', or set engine.device to cpu'}."
            )
        self._sizes = smaller
        _log.warning(
            "memory does not suffice for %d faces at once; from now on %d (%s)",
            count,
            smaller[-1],
            reason,
        )

    def _padded(self, count: int) -> int:
        """Return how many faces to run for ``count``: a compiled model takes prepared sizes only.

        Other forms take any number, at less cost than that of the added faces.
        """
        if not (isinstance(self.model, Compiled) and self.model.works):
            return count
        return next((size for size in self._sizes if size >= count), count)

    def _encode_batch(self, aligned: Sequence[Image], count: int) -> dict[str, Floats]:
        faces = [*aligned, *[aligned[-1]] * (count - len(aligned))]
        # Torch would optimise again for each number of faces, and delay the first frame with it.
        with torch.inference_mode(), torch.jit.optimized_execution(False):
            pixels = self._preprocessing.pixels(faces).to(self.device, self.dtype)
            logits = self.model(pixels)
            # The softmax is taken in float32: half precision would not sum to 1.
            answers = {
                task: torch.softmax(row[: len(aligned)].float() / self._temperatures[task], dim=1)
                .cpu()
                .numpy()
                for task, row in logits.items()
            }
        self._check_finite(answers)
        return answers

    def _check_finite(self, answers: Mapping[str, Floats]) -> None:
        broken = [task for task, rows in answers.items() if not np.isfinite(rows).all()]
        if broken:
            raise NotFiniteError(
                f"{self.bundle.bundle_id} answers {', '.join(broken)} with NaN, as {self.dtype} on "
                f"{self.device}: set engine.precision to fp32, or take another bundle"
            )
