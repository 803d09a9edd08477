"""The detectors of the face-alignment library (Bulat & Tzimiropoulos, ICCV 2017) by their names.

They report boxes and scores but no landmarks, so their faces are cut by the box. Install with
``pip install face-alignment``; the models are read from ``detector.model_file``, or fetched by the
library where ``detector.allow_download`` permits it.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from fsb_perception.detection.base import SMALLEST_SIDE, DetectorConfig, DetectorError, Limits
from fsb_perception.types import Face, Floats, Image, check_image

# The name of the score threshold in each detector of the library.
_THRESHOLD_NAME = {
    "sfd": "filter_threshold",
    "blazeface": "min_score_thresh",
    "retinaface": "confidence_threshold",
    "scrfd": "confidence_threshold",
    "yunet": "score_threshold",
}


class _LibraryDetector(Protocol):
    def detect_from_image(self, image: Image) -> Sequence[Floats]:
        """Return rows of x1, y1, x2, y2, score in an RGB picture."""
        ...


class FaceAlignmentDetector:
    """One detector of face-alignment, on the CPU or a GPU as torch finds it."""

    def __init__(self, module: str, config: DetectorConfig) -> None:
        self._limits = Limits(config)
        self._detector = _load(module, config)

    def detect(self, image: Image) -> list[Face]:
        """Return the faces of ``image`` (uint8 BGR), best score first, without landmarks."""
        check_image(image)
        shrunk, ratio = self._limits.shrink(image)
        if min(shrunk.shape[:2]) < SMALLEST_SIDE:
            return []
        rgb = np.asarray(cv2.cvtColor(shrunk, cv2.COLOR_BGR2RGB), np.uint8)
        rows = self._detector.detect_from_image(rgb)
        scale = np.tile(ratio, 2)
        faces = [
            Face(np.asarray(row[:4], np.float32) * scale, float(np.clip(row[4], 0.0, 1.0)))
            for row in rows
            if row[2] > row[0] and row[3] > row[1]
        ]
        return self._limits.best(faces)


def build(config: DetectorConfig) -> FaceAlignmentDetector:
    """Build the detector that the library calls ``config.name``."""
    return FaceAlignmentDetector(config.name, config)


def _load(module: str, config: DetectorConfig) -> _LibraryDetector:
    options: dict[str, float | str] = {_THRESHOLD_NAME[module]: config.score_threshold}
    options |= _model_options(module, config)
    device = _device(module)
    try:
        library = importlib.import_module(f"face_alignment.detection.{module}")
        detector: _LibraryDetector = library.FaceDetector(device=device, verbose=False, **options)
    except ImportError as error:
        raise DetectorError(
            f"detector {module!r} needs face-alignment ({error}): `pip install face-alignment`"
        ) from error
    return detector


def _model_options(module: str, config: DetectorConfig) -> dict[str, str]:
    if not config.model_file:
        if config.allow_download:
            return {}
        raise DetectorError(
            f"detector {module!r} has no model file. Set detector.model_file to one, or "
            "detector.allow_download to true to let face-alignment fetch its own."
        )
    model = Path(config.model_file)
    files = {"path_to_detector": model}
    if module == "blazeface":
        files["path_to_anchor"] = model.with_name("anchors.npy")
    for file in files.values():
        if not file.is_file():
            raise DetectorError(f"detector {module!r}: there is no file {file}")
    return {name: str(file) for name, file in files.items()}


def _device(module: str) -> str:
    import torch

    runs_on_cpu = module in ("yunet", "scrfd") or not torch.cuda.is_available()
    return "cpu" if runs_on_cpu else "cuda"
