"""Photographs drawn onto a picture: soft at the edges, moved, scaled, turned, blurred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from fsb_perception.samples.scenario import Key, Still
from fsb_perception.types import Floats, Image

if TYPE_CHECKING:
    from cv2.typing import MatLike

FEATHER = 14  # px of a photograph's border, over which it fades into the wall
_BLUR_SIGMA = 5.0  # px at the height of the effect

Matrix = NDArray[np.float64]  # (2, 3), from the photograph's pixels to the picture's


@dataclass(frozen=True, eq=False)
class Portrait:
    """A photograph of one person.

    Attributes:
        image: uint8 BGR (height, width, 3); its outermost `FEATHER` pixels fade out.
        face_xywh: left, top, width and height of the face in it, in pixels.

    >>> Portrait(np.zeros((60, 50, 3), np.uint8), (15, 15, 20, 30)).image.shape
    (60, 50, 3)
    """

    image: Image
    face_xywh: tuple[float, float, float, float]


def shipped(still: Still) -> Portrait:
    """Read a photograph that ships with FSB.

    >>> from fsb_perception.samples.scenario import STILLS
    >>> shipped(STILLS["hopper"]).image.shape
    (356, 258, 3)
    """
    path = Path(__file__).with_name(still.file)
    image = cv2.imread(str(path))  # our own file; `images`, which reads all others, is above
    if image is None:
        raise FileNotFoundError(f"{path} is missing or no picture: install the package again")
    return Portrait(as_uint8(image), still.face_xywh)


class Sprite:
    """A photograph with soft edges, at full and at half size against aliasing.

    >>> Sprite(Portrait(np.zeros((60, 50, 3), np.uint8), (15, 15, 20, 30))).height(width=40)
    60.0
    """

    def __init__(self, portrait: Portrait) -> None:
        image = portrait.image
        half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        self._levels: list[tuple[float, Image]] = [(1.0, image), (0.5, as_uint8(half))]
        self._masks = [_soft_edge(level, round(FEATHER * scale)) for scale, level in self._levels]
        self._face = portrait.face_xywh

    def height(self, width: float) -> float:
        """Return the height of the face, in pixels, if it is drawn with this width."""
        return width * self._face[3] / self._face[2]

    def draw(
        self, picture: Image, pose: Key, blur: float, hidden: float, weight: float = 1.0
    ) -> None:
        """Draw the photograph at ``pose``; the effects and the weight are from 0 to 1."""
        index = int(pose.width / self._face[2] < 0.6)
        level_scale, source = self._levels[index]
        place = self._transform(pose, level_scale)
        left, top, right, bottom = _bounds(place, source.shape, picture.shape)
        if left >= right or top >= bottom:
            return
        place[:, 2] -= np.array([left, top])
        size = (right - left, bottom - top)
        patch = as_uint8(cv2.warpAffine(source, place, size, borderMode=cv2.BORDER_REPLICATE))
        mask = cv2.warpAffine(self._masks[index], place, size) * np.float32(weight)
        if blur:
            patch = as_uint8(cv2.GaussianBlur(patch, (0, 0), _BLUR_SIGMA * blur))
        if hidden:
            _hold_book(patch, (pose.x - left, pose.y - top), pose.width, hidden)
        region = picture[top:bottom, left:right]
        region[:] = cv2.blendLinear(patch, region, mask, 1.0 - mask)

    def _transform(self, pose: Key, level_scale: float) -> Matrix:
        x, y, width, height = (value * level_scale for value in self._face)
        centre = (x + width / 2, y + height / 2)
        rotation = cv2.getRotationMatrix2D(centre, pose.roll, pose.width / width)
        place = np.asarray(rotation, np.float64)
        place[:, 2] += np.array([pose.x - centre[0], pose.y - centre[1]])
        return place


def as_uint8(image: MatLike) -> Image:
    """Return the same array; OpenCV's annotations leave open that uint8 gives uint8."""
    return np.asarray(image, np.uint8)


def _soft_edge(image: Image, feather: int) -> Floats:
    """Return float32 weights (height, width): 1 inside, falling to 0 at the border."""
    mask = np.zeros(image.shape[:2], np.float32)
    mask[feather:-feather, feather:-feather] = 1.0
    return np.asarray(cv2.blur(mask, (2 * feather - 1, 2 * feather - 1)), np.float32)


def _bounds(place: Matrix, source: Sequence[int], picture: Sequence[int]) -> tuple[int, ...]:
    """Return left, top, right, bottom of the transformed source, clipped to the picture."""
    height, width = source[:2]
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ place.T
    low = np.maximum(np.floor(corners.min(0)), 0)
    high = np.minimum(np.ceil(corners.max(0)), (picture[1], picture[0]))
    return (*low.astype(int).tolist(), *high.astype(int).tolist())


def _hold_book(patch: Image, centre: tuple[float, float], width: float, hidden: float) -> None:
    """Draw a book over the lower half of the face; ``hidden`` from 0 to 1 raises it."""
    x, y = centre
    top = y + width * (1.2 - hidden)
    corners = ((x - 0.7 * width, top), (x + 0.7 * width, top + 1.1 * width))
    start, end = ((round(across), round(down)) for across, down in corners)
    cv2.rectangle(patch, start, end, (70, 52, 34), cv2.FILLED)
    cv2.rectangle(patch, start, end, (120, 150, 170), max(2, round(width / 30)))
