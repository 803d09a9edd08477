"""The sample clips with other people in them: each person gets an actor's path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fsb_perception.samples.scenario import SCENARIOS, Actor, Key, Scenario, Span

# Six people in two rows: one approaches, one leaves and returns, one is hidden, one is blurred.
_CROWD = Scenario(
    seconds=20.0,
    actors=(
        Actor(
            "above, left",
            (Key(0, 110, 120, 72), Key(6, 122, 130, 80, roll=-5), Key(20, 110, 120, 72)),
            hidden=(Span(5.0, 6.4),),
        ),
        Actor(
            "above, middle",
            (Key(0, 320, 115, 74), Key(8, 312, 122, 66, roll=4), Key(20, 320, 115, 74)),
        ),
        Actor(
            "above, right",
            (
                Key(0, 525, 120, 76),
                Key(4, 520, 115, 80, roll=4),
                Key(7, 740, 120, 76),
                Key(9, 740, 120, 72),
                Key(12, 530, 125, 72, roll=-4),
                Key(20, 525, 120, 76),
            ),
        ),
        Actor(
            "below, left",
            (Key(0, 115, 355, 70), Key(10, 105, 350, 78, roll=3), Key(20, 115, 355, 70)),
        ),
        Actor(
            "below, middle",
            (Key(0, 322, 355, 76), Key(9, 322, 350, 104), Key(13, 322, 350, 104, roll=-3),
             Key(20, 322, 355, 76)),
        ),
        Actor(
            "below, right",
            (Key(0, 530, 355, 72), Key(7, 522, 350, 80, roll=-4), Key(20, 530, 355, 72)),
            blurred=(Span(16.0, 17.4),),
        ),
    ),
    lights=SCENARIOS["demo"].lights,
)  # fmt: skip

MOST = len(_CROWD.actors)
"""Most people in a clip."""


def cast(names: Sequence[str]) -> Scenario:
    """Return the demo clip with these people in it, or a crowd if they are too many for it.

    Raises:
        ValueError: no names, or more than `MOST`.

    >>> [actor.still for actor in cast(["ada", "grace"]).actors]
    ['ada', 'grace']
    """
    if not 1 <= len(names) <= MOST:
        raise ValueError(f"a clip has parts for 1 to {MOST} people, got {len(names)}")
    demo = SCENARIOS["demo"]
    scenario = demo if len(names) <= len(demo.actors) else _CROWD
    parts = zip(scenario.actors, names, strict=False)
    return replace(scenario, actors=tuple(replace(part, still=name) for part, name in parts))
