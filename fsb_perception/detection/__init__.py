"""Finding faces: a small protocol, and one file a detector.

To add a detector, write a file here with a function ``build(config) -> Detector`` under
``@DETECTORS.register("name")`` and import it at the end of this one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np

from fsb_perception.options import Options, option
from fsb_perception.registry import Registry
from fsb_perception.types import Face, Floats, Image


class Detector(Protocol):
    """Anything that finds faces in a picture. One detector serves one thread at a time."""

    def detect(self, image: Image) -> list[Face]:
        """Faces in ``image`` (uint8 BGR), best score first, in its own pixels."""
        ...


class DetectorConfig(Options):
    """How faces are found."""

    name: str = option(
        "yunet", "detector: yunet, or face-alignment's sfd, blazeface, retinaface, scrfd"
    )
    score_threshold: float = option(0.7, "faces with a lower score are ignored", ge=0.05, le=1.0)
    max_side: int = option(
        480,
        "larger images are shrunk to this longer side before detection",
        unit="px",
        ge=64,
        le=4096,
    )
    max_faces: int = option(16, "at most so many faces a frame, the best first", ge=1, le=256)
    model_file: str = option("", "the detector's model file, where it is not found by itself")
    allow_download: bool = option(False, "let a library fetch its model from the network")


DETECTORS: Registry[Callable[[DetectorConfig], Detector]] = Registry("detector")


class DetectorError(RuntimeError):
    """A detector that cannot be built; the message says what is missing and how to get it."""


def build_detector(config: DetectorConfig) -> Detector:
    """The detector that ``config`` names.

    Raises:
        UnknownNameError: no detector of that name.
        DetectorError: its model or library is missing.
    """
    return DETECTORS[config.name](config)


SMALLEST_SIDE = 16  # px: no detector finds a face in less, and some report nonsense


def shrink(image: Image, max_side: int) -> tuple[Image, Floats]:
    """``image`` with its longer side at most ``max_side``, and the (x, y) factors back."""
    height, width = image.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    size = tuple(max(1, round(side * scale)) for side in (width, height))
    if size == (width, height):
        return image, np.ones(2, np.float32)
    ratio = np.array([width / size[0], height / size[1]], np.float32)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), ratio


from fsb_perception.detection import face_alignment, yunet  # noqa: E402, F401  (they register)
