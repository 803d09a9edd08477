"""Values over time, thinned so that the page of a long recording stays small."""

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
"""Parts of the time axis; a line keeps at most two points of each."""

_BREAK = 5.0  # median gaps without an image, after which a value no longer holds
_SHORTEST_BREAK = 0.5  # s
_NS = 1e9


class Lane(NamedTuple):
    """Labels and values over time.

    Attributes:
        seconds: times, ascending, (n,).
        words: n labels.
        values: confidences or amounts, (n,).

    >>> Lane(np.array([0.0, 0.1]), ["female", "female"], np.array([0.8, 0.9])).words[-1]
    'female'
    """

    seconds: Values
    words: Sequence[str]
    values: Values


@dataclass
class Stamped:
    """A lane while it is read: stamps in nanoseconds, in any order.

    >>> rows = Stamped()
    >>> rows.add(3_500_000_000, "male", 0.9); rows.add(2_000_000_000, "female", 0.6)
    >>> rows.placed(first=2_000_000_000, last=4_000_000_000).seconds
    array([0. , 1.5])
    """

    stamps: list[int] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, stamp: int, word: str = "", value: float = 1.0) -> None:
        """Add one label and value."""
        self.stamps.append(stamp)
        self.words.append(word)
        self.values.append(value)

    def placed(self, first: int, last: int) -> Lane:
        """Return the lane from ``first`` to ``last`` (stamps), in order of time."""
        # As integers: a float cannot hold the nanoseconds since 1970 exactly.
        stamps = np.asarray(self.stamps, np.int64)
        order = np.argsort(stamps, kind="stable")
        order = order[(stamps[order] >= max(first, 1)) & (stamps[order] <= last)]
        values = np.asarray(self.values, float)[order]
        return Lane((stamps[order] - first) / _NS, [self.words[i] for i in order], values)


class Piece(NamedTuple):
    """A stretch of a lane with one label; its value changes in steps.

    Attributes:
        word: the label.
        edges: edges of the steps, in seconds, (n + 1,).
        values: values between the edges, (n,).

    >>> lane = Lane(np.array([0.0, 0.1, 0.2]), ["female"] * 3, np.array([0.5, 0.5, 0.9]))
    >>> [piece] = pieces(lane, gap=0.1, span=1.0)
    >>> piece.word, piece.values
    ('female', array([0.5, 0.9]))
    """

    word: str
    edges: Values
    values: Values


def pieces(lane: Lane, gap: float, span: float) -> list[Piece]:
    """Cut a lane into stretches of one label.

    A label holds until the next image; a stretch ends where no image came for some time.

    Args:
        lane: not empty.
        gap: median time between two images, in seconds.
        span: length of the time axis, in seconds.
    """
    seconds, values = lane.seconds, np.round(lane.values, 2)
    codes = np.unique(lane.words, return_inverse=True)[1]
    pauses = np.diff(seconds) > max(_BREAK * gap, _SHORTEST_BREAK)
    ends = np.append(np.where(pauses, seconds[:-1] + gap, seconds[1:]), seconds[-1] + gap)
    starts = np.append(True, pauses | (np.diff(codes) != 0))  # True where a piece starts
    kept = _kept(seconds, starts, values, span)
    edges = np.append(ends[kept[1:] - 1], ends[-1])  # right edges of the steps that are kept
    runs = np.flatnonzero(starts[kept] | (np.diff(codes[kept], prepend=-1) != 0))
    return [
        Piece(lane.words[run[0]], np.append(seconds[run[0]], edge), values[run])
        for run, edge in zip(np.split(kept, runs[1:]), np.split(edges, runs[1:]), strict=True)
    ]


def _kept(seconds: Values, starts: _Flags, values: Values, span: float) -> _Indices:
    """Return the indices to draw: starts of pieces, and one change of value in each bin."""
    new_bin = np.append(True, np.diff(_bins(seconds, span)) != 0)
    kept = np.flatnonzero(starts | new_bin)
    kept = kept[np.append(True, np.diff(values[kept]) != 0) | starts[kept]]
    return kept[:: -(-len(kept) // (2 * BINS))]


def envelope(seconds: Values, values: Values, span: float) -> tuple[Values, Values]:
    """Return few points that show all extremes: the lowest and the highest of each bin."""
    if len(seconds) <= 2 * BINS:
        return seconds, values
    bins = _bins(seconds, span)
    order = np.lexsort((values, bins))
    edges = np.flatnonzero(np.diff(bins[order]))
    kept = np.unique(order[np.concatenate(([0], edges + 1, edges, [-1]))])
    return seconds[kept], values[kept]


def medians(seconds: Values, values: Values, span: float) -> tuple[Values, Values]:
    """Return the median of each part of the time (see `part_seconds`), at the middle of the part.

    A NaN stands where several parts are empty, so that a line through the points breaks there.
    """
    width = part_seconds(span)
    bins, starts = np.unique((seconds / width).astype(np.int64), return_index=True)
    middle_values = np.asarray([np.median(part) for part in np.split(values, starts[1:])])
    middles = np.minimum((bins + 0.5) * width, span)
    holes = np.flatnonzero(np.diff(bins) > _BREAK) + 1
    return np.insert(middles, holes, np.nan), np.insert(middle_values, holes, np.nan)


def rates(seconds: Values, span: float) -> tuple[Values, Values]:
    """Return the edges of the parts of the time axis, and the events a second in each part."""
    counts, edges = np.histogram(seconds, max(1, int(span / part_seconds(span))), (0.0, span))
    return edges, counts / np.diff(edges)


def part_seconds(span: float) -> float:
    """Return the length of the parts of a time axis, in seconds: 1, or more for a long time."""
    return max(1.0, span / BINS)


def _bins(seconds: Values, span: float) -> _Indices:
    return np.minimum((BINS * seconds / span).astype(int), BINS - 1)
