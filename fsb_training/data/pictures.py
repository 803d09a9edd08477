"""One picture of a data set: read it, shrink it, and find the face that is meant."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fsb_perception.alignment import whole_picture_box
from fsb_perception.detection import build_detector
from fsb_perception.detection.base import Detector, DetectorConfig
from fsb_perception.images import files
from fsb_perception.images.headers import PictureError
from fsb_perception.types import Floats, Image

STORED_SIDE = 128  # px; larger pictures are shrunk to this longer side
_DETECTION_SIDE = 160  # px; small pictures are enlarged to this for the detector
_SCORE_THRESHOLD = 0.5  # a data set's picture does hold a face, so a doubtful one is taken


class Prepared(NamedTuple):
    """A picture as it is stored, with its face.

    Attributes:
        image: uint8 BGR (height, width, 3); empty where the file cannot be read.
        box_xyxy: float32 (4,) in pixels of ``image``; the whole picture where no face was found.
        landmarks_xy: float32 (5, 2) in pixels of ``image``; NaN where no face was found.
    """

    image: Image
    box_xyxy: Floats
    landmarks_xy: Floats


def prepare(path: Path, aligned: bool) -> Prepared:
    """Read a picture and find its face.

    Args:
        path: of the picture.
        aligned: the picture is a face that was cut and aligned already, so the whole of it is
            taken and nothing is detected.
    """
    image = read_picture(path)
    if image is None:
        return Prepared(np.zeros((0, 0, 3), np.uint8), np.full(4, np.nan, np.float32), _unknown())
    image = _resized(image, STORED_SIDE, enlarge=False)
    if aligned:
        height, width = image.shape[:2]
        return Prepared(image, whole_picture_box(width, height), _unknown())
    return Prepared(image, *find_face(image, _worker_detector()))


def read_picture(path: Path) -> Image | None:
    """Return the picture at ``path``, uint8 BGR (height, width, 3), or None if it is unreadable."""
    try:
        return files.read_picture(path)
    except PictureError:
        return None


def find_face(image: Image, detector: Detector) -> tuple[Floats, Floats]:
    """Return box (4,) and landmarks (5, 2) of the main face of a picture, in its pixels.

    The main face contains the picture's centre, as in every data set of cropped faces; of several,
    it is the largest. Without one, the box is the whole picture and the landmarks are NaN.
    """
    height, width = image.shape[:2]
    detections = detector.detect(_resized(image, _DETECTION_SIDE, enlarge=True))
    scale = max(height, width) / _DETECTION_SIDE
    middle = np.array([width, height], np.float32) / 2
    faces = [(face.box_xyxy * scale, face.landmarks_xy * scale) for face in detections]
    # A face whose box misses the middle is a bystander.
    faces = [f for f in faces if (f[0][:2] < middle).all() and (f[0][2:] > middle).all()]
    if not faces:
        return np.array([0, 0, width, height], np.float32), _unknown()
    return max(faces, key=lambda f: float(np.prod(f[0][2:] - f[0][:2])))


@cache
def _worker_detector() -> Detector:
    return build_detector(DetectorConfig(score_threshold=_SCORE_THRESHOLD))


def _unknown() -> Floats:
    return np.full((5, 2), np.nan, np.float32)


def _resized(image: Image, side: int, *, enlarge: bool) -> Image:
    """Scale the longer side to ``side`` pixels; smaller pictures grow only with ``enlarge``."""
    scale = side / max(image.shape[:2])
    if scale == 1 or (scale > 1 and not enlarge):
        return image
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=method)
