"""Values over time, thinned: few points, nothing lost that a reader looks for."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from fsb_perception.replay.report.lanes import BINS, Lane, envelope, medians, pieces


def test_pieces_hold_until_the_next_image_and_end_where_none_came() -> None:
    lane = Lane(np.array([0.0, 0.1, 0.2, 5.0]), ["a", "a", "b", "b"], np.array([0.5, 0.7, 1, 1]))
    stretches = pieces(lane, gap=0.1, span=5.1)
    assert [piece.word for piece in stretches] == ["a", "b", "b"]
    edges = [[0.0, 0.1, 0.2], [0.2, 0.3], [5.0, 5.1]]
    for piece, expected in zip(stretches, edges, strict=True):
        np.testing.assert_allclose(piece.edges, expected)
    np.testing.assert_array_equal(stretches[0].values, [0.5, 0.7])


@pytest.mark.parametrize("words", ["a", "ab"])
def test_pieces_are_in_order_and_few(words: str) -> None:
    chance = np.random.default_rng(0)
    seconds = np.sort(chance.uniform(0, 60, 20_000))
    lane = Lane(seconds, [words[n % len(words)] for n in range(20_000)], chance.random(20_000))
    stretches = pieces(lane, gap=0.003, span=60.0)
    edges = list(chain.from_iterable(piece.edges for piece in stretches))
    assert edges == sorted(edges)
    assert sum(len(piece.values) for piece in stretches) <= 2 * BINS
    assert all(len(piece.edges) == len(piece.values) + 1 for piece in stretches)


def test_an_envelope_keeps_every_extreme() -> None:
    seconds, values = np.linspace(0, 100, 50_000), np.random.default_rng(0).normal(size=50_000)
    x, y = envelope(seconds, values, 100.0)
    assert len(x) <= 2 * BINS
    assert (y.min(), y.max()) == (values.min(), values.max())
    assert list(x) == sorted(x)


def test_medians_are_of_seconds_and_leave_holes() -> None:
    x, y = medians(np.array([0.1, 0.2, 0.9, 2.5, 9.5]), np.array([1.0, 5, 2, 7, 8]), 10.0)
    np.testing.assert_array_equal(x, [0.5, 2.5, np.nan, 9.5])
    np.testing.assert_array_equal(y, [2.0, 7.0, np.nan, 8.0])
