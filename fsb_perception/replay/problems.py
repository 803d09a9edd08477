"""What was wrong with a recording: counted, with the first case of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any


class Problems:
    """A tally that stays small however much is wrong.

    >>> found = Problems()
    >>> found.note("no stamp", "/image at 12 ns"); found.note("no stamp", "/image at 45 ns")
    >>> lines(found.as_json())
    ['no stamp: 2, first /image at 12 ns']
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def note(self, kind: str, case: str) -> None:
        """Count a case; ``kind`` is one of few, ``case`` says where it was."""
        self.counts[kind] += 1
        self._first.setdefault(kind, case)

    def as_json(self) -> dict[str, Any]:
        """By kind: how often, and the first case."""
        return {k: {"count": n, "first": self._first[k]} for k, n in self.counts.items()}

    def __bool__(self) -> bool:
        return bool(self.counts)


def lines(problems: Mapping[str, Any]) -> list[str]:
    """Problems as `Problems.as_json` gives them, for people, a line a kind."""
    return [f"{kind}: {p['count']:,}, first {p['first']}" for kind, p in problems.items()]
