"""The whole multitask encoder as one ONNX file, run beside torch before it is left in place.

The file takes normalised pixels and gives logits, one output a task, for any number of faces. What
else its user must know travels inside it, as JSON texts in the model's ``metadata_props``: see
`about`. docs/onnx.md shows how to use it without FSB and without torch.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsb_perception.bundles.bundle import Bundle
from fsb_perception.errors import FsbError

if TYPE_CHECKING:
    import torch

INPUT = "pixels"
TOLERANCE = 1e-4
_BATCHES = (1, 3)  # faces in the pictures that both are given; recorded with two
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_ROOM = 2**31 - 2**24  # bytes: protobuf ends at 2 GiB, and the graph needs a little


class OnnxError(FsbError):
    """A bundle that cannot be exported; the message says why and what to do."""


@dataclass(frozen=True)
class OnnxFile:
    """An exported encoder.

    Attributes:
        path: where it lies.
        size_bytes: of the file.
        outputs: number of classes by task, in the order of the file's outputs.
        difference: largest deviation of its logits from torch's, over all tasks and batches.
    """

    path: Path
    size_bytes: int
    outputs: dict[str, int]
    difference: float


def export_onnx(bundle: Bundle, path: Path, tolerance: float = TOLERANCE) -> OnnxFile:
    """Write the bundle's encoder, float32, to ``path``; an older file there is replaced at the end.

    Args:
        bundle: a verified bundle.
        path: of the file; its folder must exist.
        tolerance: largest deviation from torch's logits that is let pass; logits beyond 1, as
            cosines over a temperature have, may deviate by this share of the largest.

    Raises:
        OnnxError: packages are missing, the place cannot be written, the encoder is too large for
            one file, or what was written does not compute what torch computes.
    """
    _check_packages()
    _check_place(path)
    model = bundle.build_model().requires_grad_(False)
    _check_size(model)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _write(model, bundle, part)
        difference = _compare(model, part, bundle.manifest.preprocessing.size, tolerance)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    outputs = {task.name: len(task.labels) for task in bundle.tasks}
    return OnnxFile(path, path.stat().st_size, outputs, difference)


def about(bundle: Bundle) -> dict[str, Any]:
    """What the file says of itself: each value becomes JSON under its name."""
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
    if size > _ROOM:
        raise OnnxError(
            f"the encoder has {size / 2**30:.1f} GiB of weights, an ONNX file holds 2: "
            "export a bundle with a smaller backbone"
        )


def _write(model: torch.nn.Module, bundle: Bundle, path: Path) -> None:
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
    texts = {name: json.dumps(value, ensure_ascii=False) for name, value in about(bundle).items()}
    program.model.metadata_props.update(texts)
    program.save(path, external_data=False)
    onnx.checker.check_model(str(path), full_check=True)


def _compare(model: torch.nn.Module, path: Path, size: int, tolerance: float) -> float:
    """Largest deviation of the file's logits from the model's; `OnnxError` if it is too large."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
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
                    f"of {name} with {count} faces, {allowed:.2g} is let pass; nothing was written"
                )
            worst = max(worst, difference)
    return worst


def _pixels(count: int, size: int) -> torch.Tensor:
    import torch

    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(count)) * 2 - 1


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own workings; what fails still raises."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
