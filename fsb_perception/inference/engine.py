"""The running encoder: batch sizes, calibrated probabilities, and what to do without memory."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np

from fsb_perception.alignment import Aligner
from fsb_perception.bundles.bundle import Bundle
from fsb_perception.errors import FsbError
from fsb_perception.inference.config import EngineConfig, batch_sizes
from fsb_perception.inference.memory import is_out_of_memory
from fsb_perception.inference.runtimes import Encode, GivenRuntime, Runtime, build_runtime
from fsb_perception.inference.threads import usable_threads, worthwhile_threads
from fsb_perception.types import Floats, Image, check_image

_log = logging.getLogger(__name__)

_USUAL_FACES = 3  # that a robot sees in most frames, at most
_WARM_UP_S = 3.0  # after which no further batch size is begun


class EngineMemoryError(FsbError):
    """A lack of memory for a single face; the message says what to do."""


class NotFiniteError(FsbError):
    """An encoder that answers without numbers; the message says what to do."""


class Engine:
    """A bundle's encoder, ready to run. Threads may share it: it computes one batch at a time.

    After a batch for which memory does not suffice, the engine uses smaller ones.

    Args:
        bundle: a verified bundle.
        config: see `EngineConfig`.
        model: runs in place of the bundle's weights: from pixels, float32 (n, 3, size, size), to
            logits (n, classes) by task name.

    Attributes:
        bundle: as given.
        runtime: the library that computes, with its device and precision.

    Raises:
        OptionError: this machine lacks the library or the device, or it cannot do the precision.
        BundleError: the weights do not fit the manifest.

    >>> from fsb_perception.bundles.bundle import load_bundle
    >>> nano = load_bundle("nano")
    >>> def undecided(pixels):
    ...     return {task.name: np.zeros((len(pixels), len(task.labels))) for task in nano.tasks}
    >>> engine = Engine(nano, EngineConfig(device="cpu"), model=undecided)
    >>> engine.encode([np.zeros((96, 96, 3), np.uint8)])["gender"].tolist()
    [[0.5, 0.5]]
    """

    def __init__(
        self, bundle: Bundle, config: EngineConfig | None = None, *, model: Encode | None = None
    ) -> None:
        config = config or EngineConfig()
        self.bundle = bundle
        self.runtime: Runtime = GivenRuntime(model) if model else build_runtime(bundle, config)
        self._config = config
        self._sizes = batch_sizes(config.max_batch)
        self._preprocessing = bundle.manifest.preprocessing
        self._lock = threading.Lock()
        temperatures = bundle.manifest.temperatures
        self._temperatures = {task.name: temperatures.get(task.name, 1.0) for task in bundle.tasks}

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

        A runtime that prepares nothing by size stops after 3 s: a slow tower leaves the larger
        sizes out.

        Raises:
            EngineMemoryError: memory does not suffice for a single face.
            NotFiniteError: the encoder answers without numbers.
        """
        started = time.monotonic()
        for count in self._sizes:
            if time.monotonic() - started > _WARM_UP_S and not self.runtime.prepares:
                return
            self.encode(self._noise(count))

    def _noise(self, count: int) -> list[Image]:
        shape = (self._preprocessing.size, self._preprocessing.size, 3)
        return [np.random.default_rng(0).integers(0, 256, shape, np.uint8)] * count

    def share_cores(self) -> None:
        """Reduce the threads to those that are worth it, so that other programs have the cores.

        Does nothing on a GPU, or if `EngineConfig.threads` gives the number.
        """
        if self.runtime.device == "cpu" and not self._config.threads:
            faces = self._noise(_USUAL_FACES)
            worthwhile_threads(
                lambda: self.encode(faces), self.runtime.set_threads, usable_threads()
            )

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
        with self._lock:
            try:
                logits = self.runtime(self._preprocessing.pixels(aligned))
                return self._calibrated(logits)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                reason = (str(error).splitlines() or [type(error).__name__])[0]
            # Outside of the handler: the error, which holds arrays of the batch, is freed by now.
            self._take_smaller_than(len(aligned), reason)
        return None

    def _calibrated(self, logits: Mapping[str, Floats]) -> dict[str, Floats]:
        broken = [task for task, rows in logits.items() if not np.isfinite(rows).all()]
        if broken:
            raise NotFiniteError(
                f"{self.bundle.bundle_id} answers {', '.join(broken)} with NaN, as "
                f"{self.runtime.precision} on {self.runtime.device}: set engine.precision to fp32, "
                "or take another bundle"
            )
        return {task: softmax(rows, self._temperatures[task]) for task, rows in logits.items()}

    def _take_smaller_than(self, count: int, reason: str) -> None:
        self.runtime.free()
        smaller = tuple(size for size in self._sizes if size < count)
        device = self.runtime.device
        if not smaller:
            raise EngineMemoryError(
                f"memory on {device} does not suffice for one face of "
                f"{self._preprocessing.size} px in {self.bundle.bundle_id}: {reason}. "
                "End other programs, or use a bundle with a smaller backbone"
                f"{'' if device == 'cpu' else ', or set engine.device to cpu'}."
            )
        self._sizes = smaller
        _log.warning(
            "memory does not suffice for %d faces at once; from now on %d (%s)",
            count,
            smaller[-1],
            reason,
        )


def softmax(logits: Floats, temperature: float) -> Floats:
    """Return probabilities, float32 (n, classes), of logits divided by a temperature.

    >>> softmax(np.array([[0.0, 0.0]], np.float32), 1.0).tolist()
    [[0.5, 0.5]]
    """
    scaled = logits.astype(np.float32) / np.float32(temperature)
    exponents = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)
