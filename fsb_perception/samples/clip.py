"""The sample clips: photographs that move, grow, blur and hide, by the tables of `scenario`.

A clip is a function of the frame number alone, so every run shows the same pixels. Only the patch
of each face is drawn for each frame, which takes 2 to 3 ms of one core. An actor may have several
photographs, for example with several expressions: each is shown in turn and fades into the next.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache

import cv2
import numpy as np

from fsb_perception.samples.scenario import SCENARIOS, STILLS, Actor, Key, Scenario, Span
from fsb_perception.samples.sprites import Portrait, Sprite, as_uint8, shipped
from fsb_perception.types import Image

WIDTH, HEIGHT, FPS = 640, 480, 30

_SHOWN = 4.0  # s for which each of several photographs of a person is shown, about
_FADE = 0.2  # s in which one fades into the next


@dataclass(frozen=True)
class Drawn:
    """The exact truth of a face in a picture of a clip.

    Attributes:
        still: the person: key of `STILLS`, or the name under which portraits were given.
        box_xyxy: left, top, right, bottom in pixels; may lie outside of the picture.
        hidden: degree to which something stands before it, 0 to 1.
        blurred: degree to which it is out of focus, 0 to 1.
        portraits: indices of the person's photographs that are visible; two during a fade.

    >>> [face.still for face in Clip("steady").faces(0)]
    ['collins', 'hopper', 'coelho']
    """

    still: str
    box_xyxy: tuple[float, float, float, float]
    hidden: float
    blurred: float
    portraits: tuple[int, ...] = (0,)


class Clip:
    """One scenario as pictures: uint8 BGR (480, 640, 3), 30 a second.

    Args:
        scenario: a scenario, or a key of `SCENARIOS`.
        portraits: photographs of each of its actors, one or more, by name; by default those that
            ship with FSB.

    Raises:
        UnknownNameError: no scenario has that name.

    >>> Clip("steady").frame(0).shape
    (480, 640, 3)
    """

    def __init__(
        self,
        scenario: str | Scenario = "demo",
        portraits: Mapping[str, Sequence[Portrait]] | None = None,
    ) -> None:
        self.scenario = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
        self.count = round(self.scenario.seconds * FPS)
        self._wall = _wall()
        self._figures = [
            _Figure(actor, _portraits(actor.still, portraits), self.scenario.seconds)
            for actor in self.scenario.actors
        ]

    def frame(self, index: int) -> Image:
        """Draw picture ``index``; the clip repeats after `count` pictures."""
        time = index % self.count / FPS
        picture = self._wall.copy()
        for figure in self._figures:
            figure.draw(picture, time)
        (gain,) = _interpolate([astuple(light) for light in self.scenario.lights], time)
        return picture if gain == 1.0 else as_uint8(cv2.convertScaleAbs(picture, alpha=gain))

    def faces(self, index: int) -> list[Drawn]:
        """Return the faces in picture ``index``, hidden ones too."""
        time = index % self.count / FPS
        return [figure.drawn(time) for figure in self._figures]

    def frames(self) -> Iterator[Image]:
        """Draw the pictures from the first on, without end."""
        return map(self.frame, itertools.count())


def _portraits(name: str, portraits: Mapping[str, Sequence[Portrait]] | None) -> Sequence[Portrait]:
    return (shipped(STILLS[name]),) if portraits is None else portraits[name]


@lru_cache(maxsize=1)
def _demo() -> Clip:
    return Clip()


def frame(index: int) -> Image:
    """Draw picture ``index`` of the demo clip; see `Clip`."""
    return _demo().frame(index)


def frames() -> Iterator[Image]:
    """Draw the demo clip without end; see `Clip`."""
    return _demo().frames()


class _Figure:
    """An actor and the photographs of a person."""

    def __init__(self, actor: Actor, portraits: Sequence[Portrait], seconds: float) -> None:
        self._actor = actor
        self._sprites = [Sprite(portrait) for portrait in portraits]
        # Whole rounds, so that the clip repeats without a jump.
        rounds = max(1, round(seconds / _SHOWN / len(portraits)))
        self._shown = seconds / rounds / len(portraits)

    def draw(self, picture: Image, time: float) -> None:
        blur, hidden = (_strength(s, time) for s in (self._actor.blurred, self._actor.hidden))
        pose = _pose(self._actor, time)
        for index, weight in self._visible(time):
            self._sprites[index].draw(picture, pose, blur, hidden, weight)

    def drawn(self, time: float) -> Drawn:
        pose, visible = _pose(self._actor, time), self._visible(time)
        height = self._sprites[visible[0][0]].height(pose.width)
        for index, weight in visible[1:]:
            height += weight * (self._sprites[index].height(pose.width) - height)
        across, down = pose.width / 2, height / 2
        return Drawn(
            still=self._actor.still,
            box_xyxy=(pose.x - across, pose.y - down, pose.x + across, pose.y + down),
            hidden=_strength(self._actor.hidden, time),
            blurred=_strength(self._actor.blurred, time),
            portraits=tuple(index for index, _ in visible),
        )

    def _visible(self, time: float) -> list[tuple[int, float]]:
        """Return indices of photographs, each with its weight over the one before it."""
        number, since = divmod(time, self._shown)
        index = int(number) % len(self._sprites)
        left = self._shown - since
        if len(self._sprites) == 1 or left >= _FADE:
            return [(index, 1.0)]
        return [(index, 1.0), ((index + 1) % len(self._sprites), 1.0 - left / _FADE)]


def _wall() -> Image:
    """Draw a plain wall with soft light, without anything that a detector takes for a face."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    light = 1.0 - 0.35 * np.hypot(x / WIDTH - 0.45, y / HEIGHT - 0.3)
    return as_uint8((light[..., None] * np.array([178, 186, 190], np.float32)).astype(np.uint8))


def _pose(actor: Actor, time: float) -> Key:
    return Key(time, *_interpolate([astuple(key) for key in actor.path], time))


def _interpolate(rows: Sequence[tuple[float, ...]], time: float) -> tuple[float, ...]:
    """Return values between rows (time, value, ...): at rest on each row, smooth between them."""
    after = next(index for index, row in enumerate(rows) if time < row[0] or row is rows[-1])
    start, end = rows[max(after - 1, 0)], rows[after]
    part = min((time - start[0]) / (end[0] - start[0]), 1.0)
    ease = part * part * (3.0 - 2.0 * part)
    return tuple(a + ease * (b - a) for a, b in zip(start[1:], end[1:], strict=True))


def _strength(spans: Sequence[Span], time: float) -> float:
    """Return 0 outside of the spans; it rises in a span's first quarter, and falls in its last."""
    return max(
        (
            float(np.interp(time, np.linspace(span.start, span.end, 5), (0, 1, 1, 1, 0)))
            for span in spans
        ),
        default=0.0,
    )
