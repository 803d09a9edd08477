"""The people in a sample: their photographs, and what is true of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fsb_perception.errors import FsbError
from fsb_perception.samples.clip import Clip
from fsb_perception.samples.roles import cast
from fsb_perception.samples.scenario import STILLS
from fsb_perception.samples.sprites import Portrait, shipped

# Facts on record; SOURCES.md beside the photographs names the people.
KNOWN = MappingProxyType(
    {
        "collins": {"gender": "female"},
        "hopper": {"gender": "female", "age_group": "70+"},  # 77 when it was taken
        "coelho": {"gender": "male"},
    }
)


class SampleError(FsbError):
    """A sample that cannot be made; the message says what is missing and what to do."""


@dataclass(frozen=True, eq=False)
class Person:
    """A person with a part in a sample.

    Attributes:
        name: becomes the identity in the truth.
        portraits: shown one after the other.
        attributes: for each portrait, the true labels by task.

    >>> Person("ada", (), ({"gender": "female"}, {"emotion": "fear"})).attributes[1]
    {'emotion': 'fear'}
    """

    name: str
    portraits: tuple[Portrait, ...]
    attributes: tuple[dict[str, str], ...]

    def attributes_in(self, portraits: Sequence[int]) -> dict[str, str]:
        """Return the labels on which all of these portraits agree: they are seen together.

        >>> ada = Person("ada", (), ({"gender": "female"}, {"gender": "female", "emotion": "fear"}))
        >>> ada.attributes_in([1]), ada.attributes_in([0, 1])
        ({'gender': 'female', 'emotion': 'fear'}, {'gender': 'female'})
        """
        first, *others = (self.attributes[index] for index in portraits)
        return {k: v for k, v in first.items() if all(other.get(k) == v for other in others)}


def shipped_people() -> list[Person]:
    """Return the people whose photographs ship with FSB."""
    return [Person(n, (shipped(still),), (KNOWN[n],)) for n, still in STILLS.items()]


def clip_of(people: Sequence[Person]) -> Clip:
    """Build the clip of these people; `ValueError` if there are none, or more than its parts."""
    scenario = cast([person.name for person in people])
    return Clip(scenario, {person.name: person.portraits for person in people})
