"""From a camera image to the aligned face that the encoder reads, in training as on robots.

Two methods, compared in docs/alignment.md: ``landmarks`` moves the five landmarks onto a template
by a similarity transform; ``box`` cuts the upright square around the box, and serves for faces
without landmarks in both methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from fsb_perception.types import Face, Floats, Image

AlignmentMethod = Literal["landmarks", "box"]

# Places of the five landmarks in the aligned face, as shares of its side. The proportions between
# them are ArcFace's (Deng et al., CVPR 2019), scaled and lifted so that the face fills the square
# as in the face data sets: eyes 0.35 apart at a height of 0.33.
_ARCFACE_112 = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float32,
)
_EYE_DISTANCE, _EYE_HEIGHT = 0.35, 0.33

# Side of the square as a multiple of the longer side of the box: about the same view as above.
_BOX_MARGIN = 1.05


def _template() -> Floats:
    eyes = _ARCFACE_112[:2].mean(axis=0)
    scale = _EYE_DISTANCE / float(_ARCFACE_112[1, 0] - _ARCFACE_112[0, 0])
    return (_ARCFACE_112 - eyes) * scale + np.array([0.5, _EYE_HEIGHT], np.float32)


TEMPLATE_XY: Floats = _template().astype(np.float32)


@dataclass(frozen=True)
class Aligner:
    """Cuts aligned faces of one size.

    Attributes:
        size: side of the aligned face in pixels.
        method: "landmarks" or "box".

    >>> image = np.zeros((480, 640, 3), np.uint8)
    >>> Aligner(224).align(image, Face(np.array([100, 80, 200, 210]), 0.9)).shape
    (224, 224, 3)
    """

    size: int
    method: AlignmentMethod = "landmarks"

    def transform(self, face: Face) -> Floats:
        """Return the affine map from image pixels to aligned pixels, float32 (2, 3)."""
        if self.method == "landmarks" and _are_apart(face):
            return _similarity(face.landmarks_xy, TEMPLATE_XY * self.size)
        return _box_transform(face.box_xyxy, self.size)

    def align(self, image: Image, face: Face) -> Image:
        """Return the aligned face, uint8 BGR (size, size, 3).

        Pixels past the image border repeat the border's: a black edge would be a clue.

        Args:
            image: uint8 BGR (height, width, 3).
            face: in pixels of ``image``; may pass its border.
        """
        matrix = self.transform(face)
        return _shrink_and_warp(image, matrix, self.size)


def _are_apart(face: Face) -> bool:
    """Return whether the landmarks are known and span a pixel: one spot fixes no transform."""
    return face.has_landmarks and float(np.ptp(face.landmarks_xy, axis=0).max()) >= 1.0


def _similarity(source: Floats, target: Floats) -> Floats:
    """Least-squares rotation, scale and shift of (n, 2) points (Umeyama, PAMI 1991)."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    s, t = source - source_mean, target - target_mean
    # With complex numbers, t = (a + ib) s has the closed form below.
    square = float((s**2).sum())
    a = float((s * t).sum()) / square
    b = float((s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum()) / square
    rotation = np.array([[a, -b], [b, a]], np.float32)
    return np.hstack([rotation, (target_mean - rotation @ source_mean)[:, None]])


def _box_transform(box: Floats, size: int) -> Floats:
    centre = (box[:2] + box[2:]) / 2
    scale = size / (float(max(box[2] - box[0], box[3] - box[1])) * _BOX_MARGIN)
    shift = size / 2 - centre * scale
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)


def whole_picture_box(width: int, height: int) -> Floats:
    """Return the box (4,) in pixels whose cut is the whole picture: for data sets of cut faces.

    If the picture is not square, the longer side of the cut is that of the picture.

    >>> whole_picture_box(105, 105).tolist()
    [2.5, 2.5, 102.5, 102.5]
    """
    middle = np.array([width, height]) / 2
    half = max(width, height) / 2 / _BOX_MARGIN
    return np.concatenate([middle - half, middle + half]).astype(np.float32)


def _shrink_and_warp(image: Image, matrix: Floats, size: int) -> Image:
    """Warp with area averaging: plain bilinear sampling would alias a face that is much larger."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    factor = int(1 / scale) if scale > 0 else 1
    if factor >= 2:
        image, matrix = _shrink_region(image, matrix, size, factor)
    return cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _shrink_region(image: Image, matrix: Floats, size: int, factor: int) -> tuple[Image, Floats]:
    """Shrink the image under the aligned face by a whole factor; return it and its transform."""
    height, width = image.shape[:2]
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float32)
    corners = corners @ inverse[:, :2].T + inverse[:, 2]
    left, top = np.clip(
        np.floor(corners.min(axis=0)).astype(int) - factor, 0, (width - 1, height - 1)
    )
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int) + factor, 1, (width, height))
    region = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    shrunk_size = tuple(max(1, -(-side // factor)) for side in region.shape[1::-1])
    shrunk = cv2.resize(region, shrunk_size, interpolation=cv2.INTER_AREA)
    ratio = np.divide(region.shape[1::-1], shrunk_size, dtype=np.float32)
    moved = matrix.copy()
    corner: Floats = np.array([left, top], np.float32)
    moved[:, 2] += matrix[:, :2] @ corner
    # Pixel centres: coordinate x of the region is (x + 0.5) / ratio - 0.5 of the shrunk picture.
    moved[:, 2] += moved[:, :2] @ (ratio * 0.5 - 0.5)
    moved[:, :2] *= ratio[None, :]
    return shrunk, moved.astype(np.float32)
