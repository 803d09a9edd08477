"""The whole multitask encoder as one ONNX file, compared with torch before it is written.

The file takes normalised pixels and returns logits, one output for each task, for any number of
faces. Labels, temperatures and preprocessing are JSON texts in the model's ``metadata_props``: see
`metadata`. docs/onnx.md shows how to use the file without FSB and without torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsb_perception.bundles.bundle import Bundle
from fsb_perception.bundles.graph import (
    TOLERANCE,
    GraphError,
    check_packages,
    compare,
    exported,
    program_proto,
)
from fsb_perception.files import write_whole

if TYPE_CHECKING:
    from fsb_perception.model import MultitaskEncoder

MOST_BYTES = 2**31 - 2**24  # of weights: protobuf ends at 2 GiB, and the graph needs a little


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
        GraphError: packages or the folder are missing, the encoder is too large for one file, or
            the graph does not compute what torch computes.
        FileError: the file cannot be written.
    """
    check_packages()
    _check_place(path)
    model = bundle.build_model().requires_grad_(False)
    _check_size(model)
    graph = _graph(model, bundle)
    difference = compare(model, graph, bundle.manifest.preprocessing.size, tolerance)
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


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise GraphError(f"{path} is a folder: name the file, for instance {path / 'fsb.onnx'}")
    if not path.parent.is_dir():
        raise GraphError(f"{path.parent} is not a folder: make it, or name a file elsewhere")


def _check_size(model: MultitaskEncoder) -> None:
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    if size > MOST_BYTES:
        raise GraphError(
            f"the encoder has {size / 2**30:.1f} GiB of weights, an ONNX file holds 2: "
            "export a bundle with a smaller backbone"
        )


def _graph(model: MultitaskEncoder, bundle: Bundle) -> bytes:
    import onnx

    program = exported(model, bundle.manifest.preprocessing.size, optimise=True)
    program.metadata_props.update(
        {name: json.dumps(value, ensure_ascii=False) for name, value in metadata(bundle).items()}
    )
    graph: bytes = program_proto(program).SerializeToString()
    onnx.checker.check_model(graph, full_check=True)
    return graph
