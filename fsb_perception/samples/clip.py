"""Draws the sample clips: photographs that move, grow, blur and hide, by the tables of `scenario`.

A clip is a function of the frame number alone, so every run shows the same pixels. Only the patch
of each face is drawn anew, which takes 2 to 3 ms of one core. Who plays a part may have several
photographs, with several expressions, say: each is shown in turn, and becomes the next.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache

import cv2
import numpy as np

from fsb_perception.registry import UnknownNameError
from fsb_perception.samples.scenario import SCENARIOS, STILLS, Actor, Key, Scenario, Span
from fsb_perception.samples.sprites import Portrait, Sprite, as_uint8, shipped
from fsb_perception.types import Image

WIDTH, HEIGHT, FPS = 640, 480, 30

_SHOWN = 4.0  # s that each of several photographs of a person is shown, about
_TURN = 0.2  # s in which one becomes the next


@dataclass(frozen=True)
class Drawn:
    """A face in a picture of a clip, as it is known to be.

    Attributes:
        still: who it is: key of `STILLS`, or the name under which portraits were given.
        box_xyxy: left, top, right, bottom in pixels; may lie outside of the picture.
        hidden: how far something stands before it, 0 to 1.
        blurred: how far it is out of focus, 0 to 1.
        portraits: which of the person's photographs are seen; two while one becomes the other.
    """

    still: str
    box_xyxy: tuple[float, float, float, float]
    hidden: float
    blurred: float
    portraits: tuple[int, ...] = (0,)


class Clip:
    """One scenario as pictures: uint8 BGR (480, 640, 3), 30 a second.

    Args:
        scenario: one, or a key of `SCENARIOS`; an unknown one raises `UnknownNameError`.
        portraits: photographs of each of its actors, one or more, by name; those that ship with
            FSB if not given.
    """

    def __init__(
        self,
        scenario: str | Scenario = "demo",
        portraits: Mapping[str, Sequence[Portrait]] | None = None,
    ) -> None:
        if isinstance(scenario, str) and scenario not in SCENARIOS:
            raise UnknownNameError("sample clip", scenario, SCENARIOS)
        self.scenario = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
        self.count = round(self.scenario.seconds * FPS)
        self._wall = _wall()
        self._figures = [
            _Figure(actor, _of(actor.still, portraits), self.scenario.seconds)
            for actor in self.scenario.actors
        ]

    def frame(self, index: int) -> Image:
        """Picture ``index``; the clip repeats for ever after `count` pictures."""
        time = index % self.count / FPS
        picture = self._wall.copy()
        for figure in self._figures:
            figure.draw(picture, time)
        (gain,) = _interpolate([astuple(light) for light in self.scenario.lights], time)
        return picture if gain == 1.0 else as_uint8(cv2.convertScaleAbs(picture, alpha=gain))

    def faces(self, index: int) -> list[Drawn]:
        """The faces that picture ``index`` was drawn with, hidden ones too."""
        time = index % self.count / FPS
        return [figure.drawn(time) for figure in self._figures]

    def frames(self) -> Iterator[Image]:
        """The pictures from the first on, without end."""
        return map(self.frame, itertools.count())


def _of(name: str, portraits: Mapping[str, Sequence[Portrait]] | None) -> Sequence[Portrait]:
    return (shipped(STILLS[name]),) if portraits is None else portraits[name]


@lru_cache(maxsize=1)
def _demo() -> Clip:
    return Clip()


def frame(index: int) -> Image:
    """Picture ``index`` of the demo clip; see `Clip`."""
    return _demo().frame(index)


def frames() -> Iterator[Image]:
    """The demo clip without end; see `Clip`."""
    return _demo().frames()


class _Figure:
    """An actor and the photographs of who plays it."""

    def __init__(self, actor: Actor, portraits: Sequence[Portrait], seconds: float) -> None:
        self._actor = actor
        self._sprites = [Sprite(portrait) for portrait in portraits]
        # Whole rounds, so that a clip repeats without a jump.
        rounds = max(1, round(seconds / _SHOWN / len(portraits)))
        self._shown = seconds / rounds / len(portraits)

    def draw(self, picture: Image, time: float) -> None:
        blur, hidden = (_strength(s, time) for s in (self._actor.blurred, self._actor.hidden))
        pose = _pose(self._actor, time)
        for index, weight in self._turn(time):
            self._sprites[index].draw(picture, pose, blur, hidden, weight)

    def drawn(self, time: float) -> Drawn:
        pose, seen = _pose(self._actor, time), self._turn(time)
        height = self._sprites[seen[0][0]].height(pose.width)
        for index, weight in seen[1:]:
            height += weight * (self._sprites[index].height(pose.width) - height)
        across, down = pose.width / 2, height / 2
        return Drawn(
            still=self._actor.still,
            box_xyxy=(pose.x - across, pose.y - down, pose.x + across, pose.y + down),
            hidden=_strength(self._actor.hidden, time),
            blurred=_strength(self._actor.blurred, time),
            portraits=tuple(index for index, _ in seen),
        )

    def _turn(self, time: float) -> list[tuple[int, float]]:
        """The photographs that are seen, and the weight with which each lies over the former."""
        number, since = divmod(time, self._shown)
        index = int(number) % len(self._sprites)
        left = self._shown - since
        if len(self._sprites) == 1 or left >= _TURN:
            return [(index, 1.0)]
        return [(index, 1.0), ((index + 1) % len(self._sprites), 1.0 - left / _TURN)]


def _wall() -> Image:
    """A plain wall with soft light: nothing in it that a detector could take for a face."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    light = 1.0 - 0.35 * np.hypot(x / WIDTH - 0.45, y / HEIGHT - 0.3)
    return as_uint8((light[..., None] * np.array([178, 186, 190], np.float32)).astype(np.uint8))


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
