"""The whole multitask encoder as one ONNX file, compared with torch before it is written.

The file takes normalised pixels and returns logits, one output for each task, for any number of
faces. Labels, temperatures and preprocessing are JSON texts in the model's ``metadata_props``: see
`metadata`. docs/onnx.md shows how to use the file without FSB and without torch.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsb_perception.bundles.bundle import Bundle
from fsb_perception.errors import FsbError
from fsb_perception.files import write_whole

if TYPE_CHECKING:
    import torch

INPUT = "pixels"
TOLERANCE = 1e-4
_BATCHES = (1, 3)  # numbers of faces that are compared; the graph is recorded with two
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
MOST_BYTES = 2**31 - 2**24  # of weights: protobuf ends at 2 GiB, and the graph needs a little


class OnnxError(FsbError):
    """A bundle that cannot be exported; the message says why and what to do."""


@dataclass(frozen=True)
class OnnxFile:
    """An exported encoder.

    Attributes:
        path: of the file.
        size_bytes: of the file.
        outputs: number of classes by task, in the order of the file's outputs.
        difference: largest deviation of its logits from torch's, over all tasks and batches.

    >>> OnnxFile(Path("nano.onnx"), 8_000_000, {"gender": 2, "emotion": 8}, 3e-6).outputs["emotion"]
    8
    """

    path: Path
    size_bytes: int
    outputs: dict[str, int]
    difference: float


def export_onnx(bundle: Bundle, path: Path, tolerance: float = TOLERANCE) -> OnnxFile:
    """Write the bundle's encoder, float32, to ``path``; an older file there is replaced.

    Args:
        bundle: a verified bundle.
        path: of the file; its folder must exist.
        tolerance: largest deviation from torch's logits that is allowed; logits beyond 1, as
            cosines over a temperature have, may deviate by this share of the largest.

    Raises:
        OnnxError: packages or the folder are missing, the encoder is too large for one file, or the
            graph does not compute what torch computes.
        FileError: the file cannot be written.
    """
    _check_packages()
    _check_place(path)
    model = bundle.build_model().requires_grad_(False)
    _check_size(model)
    graph = _graph(model, bundle)
    difference = _compare(model, graph, bundle.manifest.preprocessing.size, tolerance)
    write_whole(path, graph)
    outputs = {task.name: len(task.labels) for task in bundle.tasks}
    return OnnxFile(path, len(graph), outputs, difference)


def metadata(bundle: Bundle) -> dict[str, object]:
    """Return the metadata of the file; each value becomes JSON under its name."""
    manifest = bundle.manifest
    preprocessing = manifest.preprocessing
    return {
        "bundle_id": bundle.bundle_id,
        "backbone": manifest.backbone,
        "size": preprocessing.size,
        "alignment": preprocessing.alignment,
        "channels": "RGB",
        "mean": preprocessing.mean,
        "std": preprocessing.std,
        "labels": {task.name: task.labels for task in manifest.tasks},
        "temperatures": {t.name: manifest.temperatures.get(t.name, 1.0) for t in manifest.tasks},
        "licence": manifest.licence,
        "intended_use": manifest.intended_use,
        "limits": manifest.limits,
    }


def _check_packages() -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise OnnxError(
            f"the export needs {', '.join(missing)}, which this environment lacks: "
            "pip install -r requirements/onnx.txt"
        )


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise OnnxError(f"{path} is a folder: name the file, for instance {path / 'fsb.onnx'}")
    if not path.parent.is_dir():
        raise OnnxError(f"{path.parent} is not a folder: make it, or name a file elsewhere")


def _check_size(model: torch.nn.Module) -> None:
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    if size > MOST_BYTES:
        raise OnnxError(
            f"the encoder has {size / 2**30:.1f} GiB of weights, an ONNX file holds 2: "
            "export a bundle with a smaller backbone"
        )


def _graph(model: torch.nn.Module, bundle: Bundle) -> bytes:
    import onnx
    import torch

    example = _pixels(2, bundle.manifest.preprocessing.size)
    with torch.no_grad():
        names = list(model(example))
    with _quiet():
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=[INPUT],
            output_names=names,
            verbose=False,
        )
    assert program is not None
    texts = {
        name: json.dumps(value, ensure_ascii=False) for name, value in metadata(bundle).items()
    }
    program.model.metadata_props.update(texts)
    graph = program.model_proto.SerializeToString()
    onnx.checker.check_model(graph, full_check=True)
    return graph


def _compare(model: torch.nn.Module, graph: bytes, size: int, tolerance: float) -> float:
    """Return the largest deviation of the graph's logits from the model's, if it is allowed."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    worst = 0.0
    for count in _BATCHES:
        pixels = _pixels(count, size)
        with torch.inference_mode():
            expected = model(pixels)
        actual = session.run(names, {INPUT: pixels.numpy()})
        for name, logits in zip(names, map(torch.from_numpy, actual), strict=True):
            difference = float((logits - expected[name]).abs().max())
            allowed = tolerance * max(1.0, float(expected[name].abs().max()))
            if not difference <= allowed:  # NaN must not pass
                raise OnnxError(
                    f"the exported encoder differs from torch's by {difference:.2g} in the logits "
                    f"of {name} with {count} faces, {allowed:.2g} is allowed; nothing was written"
                )
            worst = max(worst, difference)
    return worst


def _pixels(count: int, size: int) -> torch.Tensor:
    import torch

    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(count)) * 2 - 1


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warnings of the exporter; errors are still raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
