"""YuNet's network in ONNX Runtime: what OpenCV's takes 10 ms for, it does in 5 (480 x 352 px).

The file is made for pictures of 640 x 640, a shape that ONNX Runtime insists on, so it is opened
for any. What comes out is read as OpenCV reads it (``FaceDetectorYNImpl``); a test holds the two
together to a hundredth of a pixel.
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
"""From a picture to faces, (n, 15): x, y, width, height, five landmarks' x and y, score."""

_STRIDES = (8, 16, 32)
_PARTS = ("cls", "obj", "bbox", "kps")


def available() -> bool:
    """Whether the packages are here; they are looked for, not imported."""
    return all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))


def rows_by_onnx(model: Path, config: DetectorConfig, nms_threshold: float) -> Rows:
    """Faces above the score of ``config``, after suppression of what overlaps; best first.

    Raises:
        DetectorError: the file is no YuNet.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # others want the cores
    options.log_severity_level = 3  # errors: its warnings are on the shapes that we opened
    session = onnxruntime.InferenceSession(
        _of_any_shape(model), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    entry = session.get_inputs()[0].name

    def rows(image: Image) -> Floats:
        height, width = (-(-side // _STRIDES[-1]) * _STRIDES[-1] for side in image.shape[:2])
        padded = cv2.copyMakeBorder(
            image, 0, height - image.shape[0], 0, width - image.shape[1], cv2.BORDER_CONSTANT
        )
        pixels = cv2.dnn.blobFromImage(padded)  # (1, 3, height, width), float32, 0 to 255
        said = dict(zip(names, session.run(None, {entry: pixels}), strict=True))
        found = decode(said, width, config.score_threshold)
        return _suppressed(found, config, nms_threshold)

    return rows


def decode(said: Mapping[str, Floats], width: int, score_threshold: float) -> Floats:
    """Faces (n, 15) from what the network says of every cell, in no order.

    Args:
        said: by name; ``cls_8``, ``obj_8`` (1, cells, 1), ``bbox_8`` (1, cells, 4) and ``kps_8``
            (1, cells, 10) of the grid with a stride of 8 px, and so for 16 and 32.
        width: of the padded picture, in pixels.
        score_threshold: faces with a lower score are left out.
    """
    parts = []
    for stride in _STRIDES:
        cls, obj, box, points = (said[f"{part}_{stride}"][0] for part in _PARTS)
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


def _of_any_shape(model: Path) -> bytes:
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
