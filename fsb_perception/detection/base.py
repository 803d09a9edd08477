"""The parts that detectors share: their protocol, options, error, and the shrunk picture."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Protocol

import cv2
import numpy as np

from fsb_perception.errors import FsbError
from fsb_perception.options import Options, option
from fsb_perception.types import Face, Floats, Image

_log = logging.getLogger(__name__)


class Detector(Protocol):
    """An object that finds faces in a picture. One thread at a time may use it.

    >>> class Whole:
    ...     def detect(self, image):
    ...         height, width = image.shape[:2]
    ...         return [Face(np.array([0, 0, width, height]), score=1.0)]
    >>> detector: Detector = Whole()
    >>> detector.detect(np.zeros((60, 80, 3), np.uint8))[0].box_xyxy.tolist()
    [0.0, 0.0, 80.0, 60.0]
    """

    def detect(self, image: Image) -> list[Face]:
        """Return the faces of a picture.

        Args:
            image: uint8 BGR (height, width, 3).

        Returns:
            In pixels of ``image``, best score first.
        """
        ...


class DetectorConfig(Options):
    """Options of the face detector.

    >>> DetectorConfig(max_side=640).name
    'yunet'
    """

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
    max_faces: int = option(16, "most faces in a frame, those with the best scores", ge=1, le=256)
    model_file: str = option("", "the detector's model file; empty for that of its package")
    allow_download: bool = option(False, "let a library fetch its model from the network")


class DetectorError(FsbError):
    """A detector that cannot be built; the message says what is missing and how to get it."""


class Limits:
    """The limits of a detector on each picture; the first picture past one is logged, once.

    Args:
        config: names the largest side and the most faces.

    >>> limits = Limits(DetectorConfig(max_faces=1))
    >>> [face.score for face in limits.best([Face([0, 0, 8, 8], 0.8), Face([9, 9, 20, 20], 0.9)])]
    [0.9]
    """

    def __init__(self, config: DetectorConfig) -> None:
        self._config = config
        self._logged: set[str] = set()

    def best(self, faces: Iterable[Face]) -> list[Face]:
        """Return the faces with the best scores, best first, at most ``max_faces``."""
        ranked = sorted(faces, key=lambda face: -face.score)
        most = self._config.max_faces
        if len(ranked) > most:
            self._log_once(
                "detector.max_faces",
                f"a picture shows {len(ranked)} faces or more; those past the best {most} are "
                "left out: set detector.max_faces higher if they count",
            )
        return ranked[:most]

    def shrink(self, image: Image, multiple: int = 1) -> tuple[Image, Floats]:
        """Return a picture for the detector, as `shrink` does with ``max_side``."""
        height, width = image.shape[:2]
        most = self._config.max_side
        if max(height, width) > most:
            self._log_once(
                "detector.max_side",
                f"pictures of {width} x {height} px are shrunk to {most} px before detection: "
                "set detector.max_side higher to find smaller faces",
            )
        return shrink(image, most, multiple)

    def _log_once(self, limit: str, text: str) -> None:
        if limit not in self._logged:
            self._logged.add(limit)
            _log.info(text)


_DISTORTION = 0.03  # of a side: changes shapes less than any turn of a head does
SMALLEST_SIDE = 16  # px: no detector finds a face in less, and some report nonsense


def shrink(image: Image, max_side: int, multiple: int = 1) -> tuple[Image, Floats]:
    """Shrink a picture for a detector.

    Args:
        image: uint8 (height, width, 3).
        max_side: longest side of the result, in pixels.
        multiple: of pixels, to which the detector pads each side. Sides of a shrunk picture within
            3 % of a multiple become that multiple.

    Returns:
        The picture, and the factors (x, y) from its pixels to those of ``image``.

    >>> picture, factors = shrink(np.zeros((480, 640, 3), np.uint8), 320)
    >>> picture.shape, factors.tolist()
    ((240, 320, 3), [2.0, 2.0])
    """
    height, width = image.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    if scale == 1.0:
        return image, np.ones(2, np.float32)
    size = tuple(_rounded(side * scale, multiple) for side in (width, height))
    ratio = np.array([width / size[0], height / size[1]], np.float32)
    # Down to a half, each pixel is near one of the four that bilinear interpolation takes: it skips
    # none, and takes a fifth of the time of means of areas.
    method = cv2.INTER_LINEAR if scale >= 0.5 else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8), ratio


def _rounded(side: float, multiple: int) -> int:
    whole = max(1, round(side))
    near = multiple * max(1, round(side / multiple))
    return near if abs(near - side) <= _DISTORTION * side else whole
