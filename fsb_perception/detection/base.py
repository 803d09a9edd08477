"""What every detector is: a protocol, its options, its error, and the picture that it looks at."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from fsb_perception.errors import FsbError
from fsb_perception.options import Options, option
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


class DetectorError(FsbError):
    """A detector that cannot be built; the message says what is missing and how to get it."""


_DISTORTION = 0.03


SMALLEST_SIDE = 16  # px: no detector finds a face in less, and some report nonsense


def shrink(image: Image, max_side: int, multiple: int = 1) -> tuple[Image, Floats]:
    """``image`` with its longer side at most ``max_side``, and the (x, y) factors back.

    Args:
        image: uint8 (height, width, 3).
        max_side: in pixels.
        multiple: of pixels, to which the detector pads each side; sides of a smaller image that are
            within 3 % of one become it, which changes shapes less than any turn of a head does.
    """
    height, width = image.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    if scale == 1.0:
        return image, np.ones(2, np.float32)
    size = tuple(_rounded(side * scale, multiple) for side in (width, height))
    ratio = np.array([width / size[0], height / size[1]], np.float32)
    # Down to a half, each pixel is near one of the four that bilinear interpolation takes: nothing
    # is skipped, and it takes a fifth of the time that means of areas take.
    way = cv2.INTER_LINEAR if scale >= 0.5 else cv2.INTER_AREA
    return cv2.resize(image, size, interpolation=way), ratio


def _rounded(side: float, multiple: int) -> int:
    whole = max(1, round(side))
    near = multiple * max(1, round(side / multiple))
    return near if abs(near - side) <= _DISTORTION * side else whole
