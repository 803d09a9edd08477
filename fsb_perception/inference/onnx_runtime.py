"""ONNX Runtime on the CPU: the bundle's graph with its weights, without torch."""

from __future__ import annotations

import onnxruntime

from fsb_perception.bundles.bundle import Bundle
from fsb_perception.bundles.manifest import GRAPH, WEIGHTS, BundleError
from fsb_perception.inference.config import EngineConfig
from fsb_perception.inference.threads import usable_threads
from fsb_perception.options import OptionError
from fsb_perception.types import Floats

_INPUT = "pixels"
_NO_LOG = 4  # fatal errors alone: every other one is raised


class OnnxRuntime:
    """Computes the graph of a bundle with ONNX Runtime, in float32 on the CPU.

    The graph names its weights by their place in ``weights.safetensors``. Both files are read here
    and compared with their hashes, and ONNX Runtime gets the bytes: it opens no file.

    Args:
        bundle: one that has a graph.
        config: see `EngineConfig`.

    Raises:
        OptionError: the device or the precision is not one of these.
        BundleError: there is no graph, or it cannot be run.
    """

    device, precision, prepares = "cpu", "fp32", False

    def __init__(self, bundle: Bundle, config: EngineConfig) -> None:
        if config.device == "cuda":
            raise OptionError("engine.device: onnxruntime computes on the CPU here; use torch")
        if config.precision not in ("auto", self.precision):
            raise OptionError(
                f"engine.precision: onnxruntime computes in fp32, got {config.precision!r}; "
                "set engine.runtime to torch, or use fp32"
            )
        if not bundle.has_graph:
            raise BundleError(
                f"{bundle.bundle_id} has no {GRAPH}: make it with `fsb bundle upgrade "
                f"{bundle.folder}`, or set engine.runtime to torch"
            )
        self._bundle = bundle
        self._threads = config.threads or usable_threads()
        self._session = self._build()
        self._tasks = [output.name for output in self._session.get_outputs()]

    def _build(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _NO_LOG
        options.intra_op_num_threads = self._threads
        # A thread that waits for the next frame must leave its core to the camera.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph, weights = self._bundle.read(GRAPH), self._bundle.read(WEIGHTS)
        # ONNX Runtime copies them into the session. A graph that names another file is refused.
        options.add_external_initializers_from_files_in_memory([WEIGHTS], [weights], [len(weights)])
        try:
            return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's errors have no common class of their own
            raise BundleError(
                f"{self._bundle.folder / GRAPH} cannot be run by onnxruntime "
                f"{onnxruntime.__version__}: {str(error).splitlines()[0][:300]}"
            ) from None

    def __call__(self, pixels: Floats) -> dict[str, Floats]:
        """Return logits, float32 (n, classes) by task, of pixels, float32 (n, 3, size, size)."""
        return dict(zip(self._tasks, self._session.run(None, {_INPUT: pixels}), strict=True))

    def set_threads(self, count: int) -> None:
        """Compute with so many threads from now on; a change loads the graph again."""
        if count != self._threads:
            self._threads = count
            self._session = self._build()

    def free(self) -> None:
        """Do nothing: a session keeps no memory of a batch for which there was none."""
