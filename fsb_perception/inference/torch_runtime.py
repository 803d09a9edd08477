"""torch: the encoder itself, on a GPU or on the CPU; it covers every tower and number format."""

from __future__ import annotations

import logging

import numpy as np
import torch

from fsb_perception.bundles.bundle import Bundle
from fsb_perception.inference.compiled import Compiled
from fsb_perception.inference.config import EngineConfig, batch_sizes
from fsb_perception.inference.hardware import choose_device, choose_dtype, format_name
from fsb_perception.types import Floats

_log = logging.getLogger(__name__)


class TorchRuntime:
    """Computes the encoder of a bundle with torch.

    Args:
        bundle: a verified bundle.
        config: see `EngineConfig`.

    Attributes:
        device: "cpu" or "cuda".
        precision: of the tower; the heads stay in float32.
        prepares: whether it is compiled.
        model: the encoder, or its compiled form.

    Raises:
        OptionError: this machine lacks the device, or the device cannot do the precision.
        BundleError: the weights do not fit the manifest.
    """

    def __init__(self, bundle: Bundle, config: EngineConfig) -> None:
        device = choose_device(config.device)
        self._dtype = choose_dtype(config.precision, device)
        self.device, self.precision = device.type, format_name(self._dtype)
        if config.threads:
            torch.set_num_threads(config.threads)
        model = bundle.build_model().to(device).requires_grad_(False).eval()
        model.cast_tower(self._dtype)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.compile and self.device == "cpu":
            _log.warning("engine.compile is ignored on the CPU, where onnxruntime is faster")
        self.prepares = config.compile and self.device != "cpu"
        self._sizes = batch_sizes(config.max_batch)
        self.model = Compiled(model, len(self._sizes)) if self.prepares else model

    def __call__(self, pixels: Floats) -> dict[str, Floats]:
        """Return logits, float32 (n, classes) by task, of pixels, float32 (n, 3, size, size)."""
        count = len(pixels)
        with torch.inference_mode():
            batch = torch.from_numpy(self._padded(pixels)).to(self.device, self._dtype)
            logits = self.model(batch.contiguous(memory_format=torch.channels_last))
            return {task: rows[:count].float().cpu().numpy() for task, rows in logits.items()}

    def _padded(self, pixels: Floats) -> Floats:
        """Repeat the last face up to a prepared size, if the model is compiled for these alone."""
        if not (isinstance(self.model, Compiled) and self.model.works):
            return pixels
        count = next((size for size in self._sizes if size >= len(pixels)), len(pixels))
        return np.concatenate([pixels, *[pixels[-1:]] * (count - len(pixels))])

    def set_threads(self, count: int) -> None:
        """Compute with so many threads from now on; torch has one number for the whole process."""
        torch.set_num_threads(count)

    def free(self) -> None:
        """Return the memory that torch keeps for later batches to the GPU."""
        if self.device == "cuda":
            torch.cuda.empty_cache()
