"""Draws the sample clips: photographs that move, grow, blur and hide, by the tables of `scenario`.

A clip is a function of the frame number alone, so every run shows the same pixels. Only the patch
of each face is drawn anew, which takes 2 to 3 ms of one core.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsb_perception.registry import UnknownNameError
from fsb_perception.samples.scenario import SCENARIOS, STILLS, Actor, Key, Span, Still
from fsb_perception.types import Floats, Image

WIDTH, HEIGHT, FPS = 640, 480, 30

_FEATHER = 14  # px of the still over which it fades into the wall
_BLUR_SIGMA = 5.0  # px at the height of the effect


@dataclass(frozen=True)
class Drawn:
    """A face in a picture of a clip, as it is known to be.

    Attributes:
        still: key of `STILLS`: who it is.
        box_xyxy: left, top, right, bottom in pixels; may lie outside of the picture.
        hidden: how far something stands before it, 0 to 1.
        blurred: how far it is out of focus, 0 to 1.
    """

    still: str
    box_xyxy: tuple[float, float, float, float]
    hidden: float
    blurred: float


Matrix = NDArray[np.floating[Any]]  # (2, 3), from the photograph's pixels to the picture's


class Clip:
    """One scenario as pictures: uint8 BGR (480, 640, 3), 30 a second.

    Args:
        name: a key of `SCENARIOS`; an unknown one raises `UnknownNameError`.
    """

    def __init__(self, name: str = "demo") -> None:
        if name not in SCENARIOS:
            raise UnknownNameError("sample clip", name, SCENARIOS)
        self.scenario = SCENARIOS[name]
        self.count = round(self.scenario.seconds * FPS)
        self._wall = _wall()
        self._sprites = [_Sprite(STILLS[actor.still]) for actor in self.scenario.actors]

    def frame(self, index: int) -> Image:
        """Picture ``index``; the clip repeats for ever after `count` pictures."""
        time = index % self.count / FPS
        picture = self._wall.copy()
        for actor, sprite in zip(self.scenario.actors, self._sprites, strict=True):
            blur, hidden = (_strength(spans, time) for spans in (actor.blurred, actor.hidden))
            sprite.draw(picture, _pose(actor, time), blur, hidden)
        (gain,) = _interpolate([astuple(light) for light in self.scenario.lights], time)
        return picture if gain == 1.0 else _uint8(cv2.convertScaleAbs(picture, alpha=gain))

    def faces(self, index: int) -> list[Drawn]:
        """The faces that picture ``index`` was drawn with, hidden ones too."""
        time = index % self.count / FPS
        return [_drawn(actor, time) for actor in self.scenario.actors]

    def frames(self) -> Iterator[Image]:
        """The pictures from the first on, without end."""
        return map(self.frame, itertools.count())


@lru_cache(maxsize=1)
def _demo() -> Clip:
    return Clip()


def frame(index: int) -> Image:
    """Picture ``index`` of the demo clip; see `Clip`."""
    return _demo().frame(index)


def frames() -> Iterator[Image]:
    """The demo clip without end; see `Clip`."""
    return _demo().frames()


class _Sprite:
    """A photograph with soft edges, at full and at half size against aliasing."""

    def __init__(self, still: Still) -> None:
        path = Path(__file__).with_name(still.file)
        image = cv2.imread(str(path))
        if image is None:
            raise FileNotFoundError(f"{path} is missing or no picture: install the package again")
        half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        self._levels: list[tuple[float, Image]] = [(1.0, _uint8(image)), (0.5, _uint8(half))]
        self._masks = [_soft_edge(level, round(_FEATHER * scale)) for scale, level in self._levels]
        self._face = still.face_xywh

    def draw(self, picture: Image, pose: Key, blur: float, hidden: float) -> None:
        """Put the photograph where ``pose`` says; ``blur`` and ``hidden`` run from 0 to 1."""
        index = int(pose.width / self._face[2] < 0.6)
        level_scale, source = self._levels[index]
        place = self._transform(pose, level_scale)
        left, top, right, bottom = _bounds(place, source.shape, picture.shape)
        if left >= right or top >= bottom:
            return
        place[:, 2] -= np.array([left, top])
        size = (right - left, bottom - top)
        patch = _uint8(cv2.warpAffine(source, place, size, borderMode=cv2.BORDER_REPLICATE))
        mask = cv2.warpAffine(self._masks[index], place, size)
        if blur:
            patch = _uint8(cv2.GaussianBlur(patch, (0, 0), _BLUR_SIGMA * blur))
        if hidden:
            _hold_book(patch, (pose.x - left, pose.y - top), pose.width, hidden)
        region = picture[top:bottom, left:right]
        region[:] = cv2.blendLinear(patch, region, mask, 1.0 - mask)

    def _transform(self, pose: Key, level_scale: float) -> Matrix:
        x, y, width, height = (value * level_scale for value in self._face)
        centre = (x + width / 2, y + height / 2)
        place = cv2.getRotationMatrix2D(centre, pose.roll, pose.width / width)
        place[:, 2] += np.array([pose.x - centre[0], pose.y - centre[1]])
        return np.asarray(place, np.float64)


def _uint8(image: NDArray[Any]) -> Image:
    """The same array; OpenCV's annotations only forget what its functions return for uint8."""
    return np.asarray(image, np.uint8)


def _wall() -> Image:
    """A plain wall with soft light: nothing in it that a detector could take for a face."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    light = 1.0 - 0.35 * np.hypot(x / WIDTH - 0.45, y / HEIGHT - 0.3)
    return _uint8((light[..., None] * np.array([178, 186, 190], np.float32)).astype(np.uint8))


def _soft_edge(image: Image, feather: int) -> Floats:
    """float32 (height, width) weights: 1 inside, falling to 0 at the border."""
    mask = np.zeros(image.shape[:2], np.float32)
    mask[feather:-feather, feather:-feather] = 1.0
    return np.asarray(cv2.blur(mask, (2 * feather - 1, 2 * feather - 1)), np.float32)


def _bounds(place: Matrix, source: Sequence[int], picture: Sequence[int]) -> tuple[int, ...]:
    """Left, top, right, bottom of the transformed source, clipped to the picture."""
    height, width = source[:2]
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ place.T
    low = np.maximum(np.floor(corners.min(0)), 0)
    high = np.minimum(np.ceil(corners.max(0)), (picture[1], picture[0]))
    return (*low.astype(int).tolist(), *high.astype(int).tolist())


def _hold_book(patch: Image, centre: tuple[float, float], width: float, hidden: float) -> None:
    """Raise a book over the lower half of the face, as far as ``hidden`` says."""
    x, y = centre
    top = y + width * (1.2 - hidden)
    corners = ((x - 0.7 * width, top), (x + 0.7 * width, top + 1.1 * width))
    start, end = ((round(across), round(down)) for across, down in corners)
    cv2.rectangle(patch, start, end, (70, 52, 34), cv2.FILLED)
    cv2.rectangle(patch, start, end, (120, 150, 170), max(2, round(width / 30)))


def _drawn(actor: Actor, time: float) -> Drawn:
    pose = _pose(actor, time)
    _, _, width, height = STILLS[actor.still].face_xywh
    across, down = pose.width / 2, pose.width * height / width / 2
    box = (pose.x - across, pose.y - down, pose.x + across, pose.y + down)
    return Drawn(actor.still, box, _strength(actor.hidden, time), _strength(actor.blurred, time))


def _pose(actor: Actor, time: float) -> Key:
    return Key(time, *_interpolate([astuple(key) for key in actor.path], time))


def _interpolate(rows: Sequence[tuple[float, ...]], time: float) -> tuple[float, ...]:
    """Values between rows (time, value, ...), at rest on every row and smooth between them."""
    after = next(index for index, row in enumerate(rows) if time < row[0] or row is rows[-1])
    start, end = rows[max(after - 1, 0)], rows[after]
    part = min((time - start[0]) / (end[0] - start[0]), 1.0)
    ease = part * part * (3.0 - 2.0 * part)
    return tuple(a + ease * (b - a) for a, b in zip(start[1:], end[1:], strict=True))


def _strength(spans: Sequence[Span], time: float) -> float:
    """0 outside the spans, rising to 1 in a quarter of a span and falling in its last quarter."""
    return max(
        (
            float(np.interp(time, np.linspace(span.start, span.end, 5), (0, 1, 1, 1, 0)))
            for span in spans
        ),
        default=0.0,
    )
