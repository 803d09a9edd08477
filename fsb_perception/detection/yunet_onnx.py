"""YuNet's network in ONNX Runtime, which takes 5 ms for 480 x 352 px where OpenCV takes 10.

The file is made for pictures of 640 x 640, a shape that ONNX Runtime insists on, so its shapes are
opened first. The outputs are decoded as OpenCV does (``FaceDetectorYNImpl``); a test compares the
two to a hundredth of a pixel.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np

from fsb_perception.detection.base import DetectorConfig, DetectorError
from fsb_perception.types import Floats, Image

Rows = Callable[[Image], Floats]
"""A function from a picture to faces (n, 15): x, y, width, height, five landmarks' x, y, score."""

_STRIDES = (8, 16, 32)
_PARTS = ("cls", "obj", "bbox", "kps")


def available() -> bool:
    """Return whether the packages are installed; they are not imported."""
    return all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))


def rows_by_onnx(model: Path, config: DetectorConfig, nms_threshold: float) -> Rows:
    """Open the network; its faces are above the score threshold, do not overlap, best first.

    Args:
        model: YuNet's file.
        config: its score threshold and number of faces are used.
        nms_threshold: largest intersection over union of two faces.

    Raises:
        DetectorError: the file is no YuNet.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # other programs need the cores
    options.log_severity_level = 3  # errors: its warnings are about the opened shapes
    session = onnxruntime.InferenceSession(
        _with_open_shapes(model), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    entry = session.get_inputs()[0].name

    def rows(image: Image) -> Floats:
        height, width = (-(-side // _STRIDES[-1]) * _STRIDES[-1] for side in image.shape[:2])
        padded = cv2.copyMakeBorder(
            image, 0, height - image.shape[0], 0, width - image.shape[1], cv2.BORDER_CONSTANT
        )
        pixels = cv2.dnn.blobFromImage(padded)  # (1, 3, height, width), float32, 0 to 255
        outputs = dict(zip(names, session.run(None, {entry: pixels}), strict=True))
        faces = decode(outputs, width, config.score_threshold)
        return _suppressed(faces, config, nms_threshold)

    return rows


def decode(outputs: Mapping[str, Floats], width: int, score_threshold: float) -> Floats:
    """Return the faces (n, 15) of the network's outputs, in no order.

    Args:
        outputs: by name; ``cls_8``, ``obj_8`` (1, cells, 1), ``bbox_8`` (1, cells, 4) and ``kps_8``
            (1, cells, 10) of the grid with a stride of 8 px, and likewise for 16 and 32.
        width: of the padded picture, in pixels.
        score_threshold: faces with a lower score are left out.
    """
    parts = []
    for stride in _STRIDES:
        cls, obj, box, points = (outputs[f"{part}_{stride}"][0] for part in _PARTS)
        score = np.sqrt(cls.clip(0, 1) * obj.clip(0, 1))[:, 0]
        cells = np.flatnonzero(score >= score_threshold)
        grid = np.stack(np.divmod(cells, width // stride)[::-1], 1).astype(np.float32)
        extent = np.exp(box[cells, 2:]) * stride
        corner = (grid + box[cells, :2]) * stride - extent / 2
        landmarks = (points[cells].reshape(-1, 5, 2) + grid[:, None]) * stride
        parts.append(np.hstack([corner, extent, landmarks.reshape(-1, 10), score[cells, None]]))
    return np.concatenate(parts)


def _suppressed(rows: Floats, config: DetectorConfig, nms_threshold: float) -> Floats:
    if not len(rows):
        return rows
    whole = rows[:, :4].astype(int).tolist()  # pixels, as OpenCV's detector compares them
    scores, most = rows[:, 14].tolist(), 4 * config.max_faces
    kept = cv2.dnn.NMSBoxes(whole, scores, config.score_threshold, nms_threshold, 1.0, most)
    return rows[np.asarray(kept, int).ravel()]


def _with_open_shapes(model: Path) -> bytes:
    import onnx

    try:
        proto = onnx.load(str(model))
    except Exception as error:  # protobuf's own, of many kinds
        raise DetectorError(f"{model} is no ONNX file: {error}") from error
    outputs = {output.name for output in proto.graph.output}
    if outputs != {f"{part}_{stride}" for part in _PARTS for stride in _STRIDES}:
        raise DetectorError(
            f"{model} is no YuNet of 2023: its outputs are {', '.join(sorted(outputs))}"
        )
    shape = proto.graph.input[0].type.tensor_type.shape
    for place, name in ((2, "height"), (3, "width")):
        shape.dim[place].dim_param = name
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    del proto.graph.value_info[:]
    return bytes(proto.SerializeToString())
