"""A tally of what was wrong with an input: a count for each kind, and the place of its first case.

Recordings, photographs and data sets all have entries that cannot be used. They are counted, and
one case of each kind is named, so that the tally stays small however much is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict


class Tally(TypedDict):
    """The JSON form of one kind of problem: how often it was seen, and its first case."""

    count: int
    first: str


class Problems(Counter[str]):
    """Counts by kind of problem, and where the first case of each kind was seen.

    Args:
        others: tallies to add together; of two first cases, the earlier tally's stays.

    Attributes:
        first: place of the first case, by kind.

    >>> problems = Problems()
    >>> problems.note("malformed name", "UTKFace/39_1_2017.jpg")
    >>> problems.note("malformed name", "UTKFace/61_1_2017.jpg")
    >>> problems.as_json()
    {'malformed name': {'count': 2, 'first': 'UTKFace/39_1_2017.jpg'}}
    >>> problems.sentences()
    ['2 left out: malformed name, for instance UTKFace/39_1_2017.jpg']
    """

    def __init__(self, others: Iterable[Problems] = ()) -> None:
        super().__init__()
        self.first: dict[str, str] = {}
        for other in others:
            self.add(other)

    def add(self, other: Problems) -> None:
        """Add another tally to this one; the first cases of this one stay."""
        self.update(other)
        self.first = other.first | self.first

    def note(self, kind: str, place: str | Path, count: int = 1) -> None:
        """Count one case, or ``count`` of them.

        Args:
            kind: one of few, for instance "stamp is repeated".
            place: where it was seen: a path, a table's path and line, a topic and a stamp; empty
                where the kind names the place.
            count: number of cases.
        """
        self[kind] += count
        self.first.setdefault(kind, str(place))

    def as_json(self) -> dict[str, Tally]:
        """Return the count and the first case by kind, in the order in which they were seen."""
        return {kind: {"count": n, "first": self.first[kind]} for kind, n in self.items()}

    def sentences(self) -> list[str]:
        """Return one sentence for each kind of entry that was left out, the most frequent first."""
        return [
            f"{count:,} left out: {kind}" + _place(", for instance", self.first[kind])
            for kind, count in self.most_common()
        ]


def lines(problems: Mapping[str, Tally]) -> list[str]:
    """Return one line for each kind of problem, from the form of `Problems.as_json`.

    >>> lines({"stamp is repeated": {"count": 1200, "first": "/image at 12 ns"}})
    ['stamp is repeated: 1,200, first /image at 12 ns']
    """
    return [
        f"{kind}: {tally['count']:,}{_place(', first', tally['first'])}"
        for kind, tally in problems.items()
    ]


def _place(word: str, first: str) -> str:
    return f"{word} {first}" if first else ""
