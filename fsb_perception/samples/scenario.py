"""The scenarios of the sample clips, as tables that `clip` draws.

Times are seconds from the start of the clip; positions and widths are pixels of a 640x480 picture.
The last key of a path equals its first, so that a clip repeats without a jump.

>>> SCENARIOS["steady"].seconds, STILLS["hopper"].file
(10.0, 'hopper.jpg')
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from fsb_perception.registry import Registry


@dataclass(frozen=True)
class Still:
    """A photograph: its file beside this module, and the face in it as x, y, width, height."""

    file: str
    face_xywh: tuple[float, float, float, float]


@dataclass(frozen=True)
class Key:
    """The place of a face at a time: its centre, its width, and its roll in degrees."""

    at: float
    x: float
    y: float
    width: float
    roll: float = 0.0


@dataclass(frozen=True)
class Span:
    """An effect on one face, fading in and out between two times."""

    start: float
    end: float


@dataclass(frozen=True)
class Actor:
    """One face, its path, and when it is blurred or partly hidden."""

    still: str
    path: tuple[Key, ...]
    blurred: tuple[Span, ...] = ()
    hidden: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Light:
    """The gain of the whole picture at a time; 1 leaves it as it is."""

    at: float
    gain: float


@dataclass(frozen=True)
class Scenario:
    """A clip: its length, its actors, and the changes of light."""

    seconds: float
    actors: tuple[Actor, ...]
    lights: tuple[Light, ...]


STILLS = MappingProxyType(
    {
        "collins": Still("collins.jpg", (33, 67, 89, 109)),
        "hopper": Still("hopper.jpg", (50, 102, 148, 186)),
        "coelho": Still("coelho.jpg", (34, 61, 150, 207)),
    }
)

# One person approaches, one leaves and returns, a lamp is dimmed: a robot's day in short.
_DEMO = Scenario(
    seconds=20.0,
    actors=(
        Actor(
            "collins",
            (
                Key(0, 110, 190, 90),
                Key(4, 120, 220, 110, roll=-6),
                Key(9, 100, 170, 76, roll=4),
                Key(14, 130, 230, 104),
                Key(20, 110, 190, 90),
            ),
            hidden=(Span(5.0, 6.4),),
        ),
        Actor(
            "hopper",
            (
                Key(0, 325, 250, 82),
                Key(5, 320, 260, 64),
                Key(10, 345, 250, 156, roll=3),
                Key(13, 345, 250, 156, roll=-3),
                Key(20, 325, 250, 82),
            ),
            blurred=(Span(16.0, 17.4),),
        ),
        Actor(
            "coelho",
            (
                Key(0, 530, 230, 110),
                Key(4, 525, 210, 122, roll=4),
                Key(7, 770, 230, 110),
                Key(9, 770, 230, 100),
                Key(12, 545, 240, 96, roll=-4),
                Key(16, 540, 240, 96, roll=-4),
                Key(20, 530, 230, 110),
            ),
        ),
    ),
    lights=(Light(0, 1.0), Light(9, 1.0), Light(12, 0.5), Light(15, 1.15), Light(20, 1.0)),
)

# Three faces, all of them in every frame, as the benchmark needs them.
_STEADY = Scenario(
    seconds=10.0,
    actors=(
        Actor("collins", (Key(0, 110, 190, 90), Key(5, 125, 225, 110), Key(10, 110, 190, 90))),
        Actor("hopper", (Key(0, 325, 250, 80), Key(5, 318, 235, 108), Key(10, 325, 250, 80))),
        Actor("coelho", (Key(0, 530, 230, 110), Key(5, 520, 215, 90), Key(10, 530, 230, 110))),
    ),
    lights=(Light(0, 1.0), Light(10, 1.0)),
)

SCENARIOS: Registry[Scenario] = Registry("sample clip", {"demo": _DEMO, "steady": _STEADY})
