"""Values over time, thinned so that a page stays small however long a recording is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_Flags = NDArray[np.bool_]
_Indices = NDArray[np.int64]

BINS = 500
"""Of time; a line keeps two points of each at most."""

_BREAK = 5.0  # usual gaps, after which nothing is known any more
_SHORTEST_BREAK = 0.5  # s
_NS = 1e9


class Lane(NamedTuple):
    """What was said over time.

    Attributes:
        seconds: when, ascending, (n,).
        words: what; n of them.
        values: how sure, or how much, (n,).
    """

    seconds: Values
    words: Sequence[str]
    values: Values


@dataclass
class Stamped:
    """A lane as it is read: stamps in nanoseconds, in any order."""

    stamps: list[int] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, stamp: int, word: str = "", value: float = 1.0) -> None:
        """Take in what was said at a stamp."""
        self.stamps.append(stamp)
        self.words.append(word)
        self.values.append(value)

    def placed(self, first: int, last: int) -> Lane:
        """By time, without what lies outside."""
        # As integers: a float has no room for the nanoseconds of today.
        stamps = np.asarray(self.stamps, np.int64)
        order = np.argsort(stamps, kind="stable")
        order = order[(stamps[order] >= max(first, 1)) & (stamps[order] <= last)]
        values = np.asarray(self.values, float)[order]
        return Lane((stamps[order] - first) / _NS, [self.words[i] for i in order], values)


class Piece(NamedTuple):
    """A stretch of a lane with one word; its value goes in steps.

    Attributes:
        word: what was said.
        edges: of the steps, in seconds, (n + 1,).
        values: between them, (n,).
    """

    word: str
    edges: Values
    values: Values


def pieces(lane: Lane, gap: float, span: float) -> list[Piece]:
    """Stretches of one word; each holds until the next image, and ends where no image came.

    Args:
        lane: not empty.
        gap: median time between two images, in seconds.
        span: length of the time axis, in seconds.
    """
    seconds, values = lane.seconds, np.round(lane.values, 2)
    codes = np.unique(lane.words, return_inverse=True)[1]
    pauses = np.diff(seconds) > max(_BREAK * gap, _SHORTEST_BREAK)
    ends = np.append(np.where(pauses, seconds[:-1] + gap, seconds[1:]), seconds[-1] + gap)
    starts = np.append(True, pauses | (np.diff(codes) != 0))  # of a piece
    kept = _kept(seconds, starts, values, span)
    edges = np.append(ends[kept[1:] - 1], ends[-1])  # of what was kept, on the right
    runs = np.flatnonzero(starts[kept] | (np.diff(codes[kept], prepend=-1) != 0))
    return [
        Piece(lane.words[run[0]], np.append(seconds[run[0]], edge), values[run])
        for run, edge in zip(np.split(kept, runs[1:]), np.split(edges, runs[1:]), strict=True)
    ]


def _kept(seconds: Values, starts: _Flags, values: Values, span: float) -> _Indices:
    """Indices of what is drawn: starts of pieces, and one change of value in each bin."""
    new_bin = np.append(True, np.diff(_bins(seconds, span)) != 0)
    kept = np.flatnonzero(starts | new_bin)
    kept = kept[np.append(True, np.diff(values[kept]) != 0) | starts[kept]]
    return kept[:: -(-len(kept) // (2 * BINS))]


def envelope(seconds: Values, values: Values, span: float) -> tuple[Values, Values]:
    """Few points that show all extremes: the lowest and the highest of each bin."""
    if len(seconds) <= 2 * BINS:
        return seconds, values
    bins = _bins(seconds, span)
    order = np.lexsort((values, bins))
    edges = np.flatnonzero(np.diff(bins[order]))
    kept = np.unique(order[np.concatenate(([0], edges + 1, edges, [-1]))])
    return seconds[kept], values[kept]


def medians(seconds: Values, values: Values, span: float) -> tuple[Values, Values]:
    """The median of each second, or of each of `BINS` parts of a long time, at its middle.

    Where nothing is for some parts, there is a NaN, so that a line through them is broken.
    """
    width = second(span)
    bins, starts = np.unique((seconds / width).astype(np.int64), return_index=True)
    found = np.asarray([np.median(part) for part in np.split(values, starts[1:])])
    middles = np.minimum((bins + 0.5) * width, span)
    holes = np.flatnonzero(np.diff(bins) > _BREAK) + 1
    return np.insert(middles, holes, np.nan), np.insert(found, holes, np.nan)


def rates(seconds: Values, span: float) -> tuple[Values, Values]:
    """Edges of the parts of `second`, and how many a second lie between them."""
    counts, edges = np.histogram(seconds, max(1, int(span / second(span))), (0.0, span))
    return edges, counts / np.diff(edges)


def second(span: float) -> float:
    """Length of the parts that a time is divided in, in seconds: one, or more of a long time."""
    return max(1.0, span / BINS)


def _bins(seconds: Values, span: float) -> _Indices:
    return np.minimum((BINS * seconds / span).astype(int), BINS - 1)
