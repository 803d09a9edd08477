"""Names of interchangeable parts: detectors, trackers, backbones, adapters, datasets."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from fsb_perception.errors import FsbError

T = TypeVar("T")

_SHOWN = 80  # characters of a name: one from a message may have megabytes


class UnknownNameError(FsbError, KeyError):
    """A name that a table lacks; the message lists the known names and suggests the nearest.

    >>> str(UnknownNameError("task", "agee", ["age", "gender"]))
    "unknown task 'agee'. Did you mean 'age'? Known: age, gender."
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        name = name if len(name) <= _SHOWN else f"{name[: _SHOWN - 3]}..."
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        self.message = f"unknown {kind} {name!r}.{hint} Known: {', '.join(known) or 'none'}."
        super().__init__(self.message)

    def __str__(self) -> str:  # KeyError would print the repr, quotes and all
        return self.message


class Registry(Mapping[str, T]):
    """A read-only table of interchangeable parts; `UnknownNameError` for a name that it lacks.

    >>> shapes = Registry("shape", {"circle": 0, "square": 4})
    >>> shapes["square"]
    4
    >>> shapes["sqare"]
    Traceback (most recent call last):
    ...
    fsb_perception.registry.UnknownNameError: unknown shape 'sqare'. Did you mean 'square'? Known: \
circle, square.
    """

    def __init__(self, kind: str, parts: Mapping[str, T]) -> None:
        self.kind = kind
        self._parts = dict(parts)

    def __getitem__(self, name: str) -> T:
        if name not in self._parts:
            raise UnknownNameError(self.kind, name, self._parts)
        return self._parts[name]

    def check(self, names: Iterable[str]) -> None:
        """Raise `UnknownNameError` for the first of ``names`` that the table lacks."""
        for name in names:
            self[name]

    def __contains__(self, name: object) -> bool:
        return name in self._parts  # without the search for near names of an UnknownNameError

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)
