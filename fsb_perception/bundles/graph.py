"""The ONNX graph of a bundle: the encoder without its weights, which stay in the weights file.

``encoder.onnx`` names every weight by its place in ``weights.safetensors`` (ONNX external data:
file, offset, length), so that nothing is stored twice. A float16 weight becomes float32 by a Cast
node, which a runtime folds when it loads the graph. Constants that do not depend on weights are
folded here; they take some kilobytes.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsb_perception.bundles.manifest import WEIGHTS
from fsb_perception.errors import FsbError

if TYPE_CHECKING:
    import onnx
    import onnx_ir
    import torch

    from fsb_perception.model import MultitaskEncoder
    from fsb_perception.types import Floats

INPUT = "pixels"
TOLERANCE = 1e-4
BATCHES = (1, 3)  # numbers of faces that are compared; the graph is recorded with two
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


class GraphError(FsbError):
    """An encoder that has no graph; the message says why and what to do."""


@dataclass(frozen=True)
class _Place:
    """The place of a tensor in the weights file."""

    kind: str
    shape: tuple[int, ...]
    offset: int
    length: int


def check_packages() -> None:
    """Raise an error where the packages of the exporter are missing.

    Raises:
        GraphError: names them, and the line that installs them.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise GraphError(
            f"the export needs {', '.join(missing)}, which this environment lacks: "
            "pip install -r requirements/onnx.txt"
        )


def encoder_graph(model: MultitaskEncoder, size: int, weights: Path) -> bytes:
    """Return the graph of an encoder whose weights are in a file, checked against torch.

    Args:
        model: with the weights of the file, float32, in evaluation mode.
        size: side of its pictures in pixels.
        weights: the ``weights.safetensors`` of its bundle.

    Raises:
        GraphError: packages are missing, or the graph does not compute what torch computes.
    """
    check_packages()
    program = exported(model, size)
    places = _places(weights)
    with _quiet():
        _fold_constants(program, set(places))
    _refer(program, places, weights.parent)
    graph = program_proto(program)
    _cast_to_float32(graph)
    content: bytes = graph.SerializeToString()
    compare(model, content, size, TOLERANCE, weights)
    return content


def exported(model: MultitaskEncoder, size: int, optimise: bool = False) -> onnx_ir.Model:
    """Return an encoder as torch's exporter records it, for any number of faces."""
    import torch

    example = example_pixels(2, size)
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
            optimize=optimise,
        )
    assert program is not None
    return program.model


def program_proto(program: onnx_ir.Model) -> onnx.ModelProto:
    """Return the protobuf of a program, without the lines of code that its nodes come from."""
    import onnx_ir
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    metadata = dict(program.metadata_props)
    ClearMetadataAndDocStringPass()(program)
    program.metadata_props.update(metadata)
    return onnx_ir.to_proto(program)


def _places(weights: Path) -> dict[str, _Place]:
    """Return the places of the tensors of a safetensors file: a length, a JSON header, the data."""
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    start = 8 + length
    return {
        name: _Place(
            entry["dtype"],
            tuple(entry["shape"]),
            start + entry["data_offsets"][0],
            entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _fold_constants(program: onnx_ir.Model, weights: set[str]) -> None:
    """Fold what depends on no weight: a folded weight would be stored a second time."""
    from onnxscript import optimizer

    def fold(node: onnx_ir.Node) -> bool | None:
        reads_weight = any(value is not None and value.name in weights for value in node.inputs)
        return False if reads_weight else None

    optimizer.fold_constants(program, onnx_shape_inference=False, should_fold=fold)
    optimizer.remove_unused_nodes(program)


def _refer(program: onnx_ir.Model, places: Mapping[str, _Place], folder: Path) -> None:
    """Replace each weight of a program by its place in the file of a folder."""
    import onnx_ir

    kinds = {"F16": onnx_ir.DataType.FLOAT16, "F32": onnx_ir.DataType.FLOAT}
    for name, value in program.graph.initializers.items():
        place = places.get(name)
        if place is None:
            continue
        shape = tuple(value.shape or ())
        if shape != place.shape:
            raise GraphError(
                f"{name} has shape {shape} in the encoder and {place.shape} in the weights: the "
                "encoder is another than that of the bundle"
            )
        value.const_value = onnx_ir.ExternalTensor(
            WEIGHTS,
            place.offset,
            place.length,
            kinds[place.kind],
            shape=onnx_ir.Shape(place.shape),
            name=name,
            base_dir=folder,
        )
        value.dtype = kinds[place.kind]


def _cast_to_float32(graph: onnx.ModelProto) -> None:
    """Let the nodes read the float16 weights through a Cast: everything computes in float32."""
    from onnx import TensorProto, helper

    casts = [
        helper.make_node("Cast", [tensor.name], [f"{tensor.name}:f32"], to=TensorProto.FLOAT)
        for tensor in graph.graph.initializer
        if tensor.data_type == TensorProto.FLOAT16
    ]
    renamed = {node.input[0]: node.output[0] for node in casts}
    nodes = list(graph.graph.node)
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    del graph.graph.node[:], graph.graph.value_info[:]
    graph.graph.node.extend([*casts, *nodes])


def compare(
    model: MultitaskEncoder,
    graph: bytes,
    size: int,
    tolerance: float,
    weights: Path | None = None,
) -> float:
    """Return the largest deviation of a graph's logits from the model's, if it is allowed.

    Args:
        model: on the CPU, in evaluation mode.
        graph: an ONNX file.
        size: side of the pictures in pixels.
        tolerance: largest deviation that is allowed; logits beyond 1, as cosines over a temperature
            have, may deviate by this share of the largest.
        weights: file of the weights, if the graph refers to them.

    Raises:
        GraphError: a logit deviates by more.
    """
    import torch

    run = _runner(graph, weights)
    worst = 0.0
    for count in BATCHES:
        pixels = example_pixels(count, size)
        with torch.inference_mode():
            expected = model(pixels)
        for name, logits in run(pixels.numpy()).items():
            difference = float((torch.from_numpy(logits) - expected[name]).abs().max())
            allowed = tolerance * max(1.0, float(expected[name].abs().max()))
            if not difference <= allowed:  # NaN must not pass
                raise GraphError(
                    f"the exported encoder differs from torch's by {difference:.2g} in the logits "
                    f"of {name} with {count} faces, {allowed:.2g} is allowed; nothing was written"
                )
            worst = max(worst, difference)
    return worst


def _runner(graph: bytes, weights: Path | None) -> Callable[[Floats], dict[str, Floats]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if weights:
        content = weights.read_bytes()
        options.add_external_initializers_from_files_in_memory([WEIGHTS], [content], [len(content)])
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda pixels: dict(zip(names, session.run(names, {INPUT: pixels}), strict=True))


def example_pixels(count: int, size: int) -> torch.Tensor:
    """Return random pixels in [-1, 1], float32 (count, 3, size, size), the same at each call."""
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
