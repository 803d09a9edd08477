"""Runtimes: the libraries that can compute an encoder, by name, and the choice among them."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fsb_perception.bundles.bundle import Bundle
from fsb_perception.bundles.manifest import BundleError
from fsb_perception.inference.config import EngineConfig
from fsb_perception.options import OptionError
from fsb_perception.registry import Registry
from fsb_perception.types import Floats

_log = logging.getLogger(__name__)

Encode = Callable[[Floats], dict[str, Floats]]
"""A function from pixels, float32 (n, 3, size, size), to logits (n, classes) by task name."""

# Files that the driver of an NVIDIA GPU or of a Jetson makes: torch is not imported to find none.
_GPU_FILES = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/dxg")


class Runtime(Protocol):
    """A library with an encoder's weights, on one device.

    Attributes:
        device: that computes: "cpu" or "cuda".
        precision: number format of the encoder: "fp32", "bf16" or "fp16".
        prepares: whether each number of faces takes long when it is seen for the first time.
    """

    device: str
    precision: str
    prepares: bool

    def __call__(self, pixels: Floats) -> dict[str, Floats]:
        """Return logits, float32 (n, classes) by task, of pixels, float32 (n, 3, size, size)."""
        ...

    def set_threads(self, count: int) -> None:
        """Compute with so many threads from now on; a GPU ignores it."""
        ...

    def free(self) -> None:
        """Give memory back after a batch that was too large for it."""
        ...


@dataclass(frozen=True)
class RuntimeRow:
    """A row of `RUNTIMES`.

    Attributes:
        package: that must be installed.
        install: the arguments of pip that install it.
        where: ``module:function``, from a `Bundle` and an `EngineConfig` to a `Runtime`.

    >>> RUNTIMES["torch"].is_installed
    True
    """

    package: str
    install: str
    where: str

    @property
    def is_installed(self) -> bool:
        """Whether the package can be imported; it is not imported for this."""
        return importlib.util.find_spec(self.package) is not None

    def build(self, bundle: Bundle, config: EngineConfig) -> Runtime:
        """Import the library and load the weights of the bundle into it."""
        module, _, name = self.where.partition(":")
        runtime: Runtime = getattr(importlib.import_module(module), name)(bundle, config)
        return runtime


RUNTIMES: Registry[RuntimeRow] = Registry(
    "runtime",
    {
        "onnxruntime": RuntimeRow(
            "onnxruntime",
            "onnxruntime",
            "fsb_perception.inference.onnx_runtime:OnnxRuntime",
        ),
        "torch": RuntimeRow(
            "torch",
            "torch",
            "fsb_perception.inference.torch_runtime:TorchRuntime",
        ),
    },
)


def build_runtime(bundle: Bundle, config: EngineConfig) -> Runtime:
    """Load a bundle's encoder into the library that the options name, or that suits them.

    Raises:
        OptionError: the library is not installed, or cannot do what the options ask.
        BundleError: the bundle lacks what the library needs, or its weights are damaged.
    """
    name, reason = _chosen(bundle, config)
    row = RUNTIMES[name]
    if not row.is_installed:
        raise OptionError(
            f"engine.runtime: {name} is needed ({reason}) and not installed: "
            f"pip install {row.install}"
        )
    runtime = row.build(bundle, config)
    _log.info("%s computes the encoder on %s: %s", name, runtime.device, reason)
    return runtime


def _chosen(bundle: Bundle, config: EngineConfig) -> tuple[str, str]:
    """Return the name of a runtime and the reason for it."""
    if config.runtime != "auto":
        return config.runtime, "engine.runtime names it"
    if config.precision in ("bf16", "fp16"):
        return "torch", f"engine.precision is {config.precision}"
    if config.device == "cuda" or (config.device == "auto" and has_gpu()):
        return "torch", "there is a GPU" if config.device == "auto" else "engine.device is cuda"
    if bundle.has_graph:
        return "onnxruntime", "it is the fastest and smallest on a CPU"
    if RUNTIMES["torch"].is_installed:
        return "torch", f"{bundle.bundle_id} has no graph; make it with `fsb bundle upgrade`"
    raise BundleError(
        f"{bundle.bundle_id} has no ONNX graph, and torch is not installed: make the graph with "
        f"`fsb bundle upgrade {bundle.folder}` where torch is, or pip install "
        f"{RUNTIMES['torch'].install}"
    )


def has_gpu() -> bool:
    """Return whether torch is installed and finds a GPU; without a driver torch is not imported."""
    if not any(Path(name).exists() for name in _GPU_FILES) or not RUNTIMES["torch"].is_installed:
        return False
    import torch

    return torch.cuda.is_available()


class GivenRuntime:
    """A function in place of a bundle's weights.

    >>> import numpy as np
    >>> runtime = GivenRuntime(lambda pixels: {"gender": np.zeros((len(pixels), 2), np.float32)})
    >>> runtime(np.zeros((3, 3, 80, 80), np.float32))["gender"].shape
    (3, 2)
    """

    device, precision, prepares = "cpu", "fp32", False

    def __init__(self, encode: Encode) -> None:
        self._encode = encode

    def __call__(self, pixels: Floats) -> dict[str, Floats]:
        """Return what the function returns."""
        return self._encode(pixels)

    def set_threads(self, count: int) -> None:
        """Do nothing: the function has its own threads."""

    def free(self) -> None:
        """Do nothing: the function keeps its own memory."""
