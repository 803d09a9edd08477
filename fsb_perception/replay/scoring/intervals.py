"""The 95 % intervals of a number, by the bootstrap over tracks or people instead of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

FEWEST = 2
"""Smallest number of tracks or people for an interval."""

_RESAMPLES = 2000
_SEED = 0


def interval(
    statistic: Callable[..., NDArray[np.float64]], columns: Sequence[Sequence[float]]
) -> tuple[float | None, float | None]:
    """Return the ends of the interval of a statistic over rows that are drawn with replacement.

    Args:
        statistic: function of the columns, along their last axis.
        columns: columns of equal length; a row is drawn with all its values.

    Returns:
        The 2.5th and the 97.5th percentile; None for fewer than `FEWEST` rows.
    """
    from scipy.stats import bootstrap

    if len(columns[0]) < FEWEST:
        return None, None

    def along(*samples: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        del axis  # always the last; scipy requires the parameter
        return statistic(*samples)

    ends = bootstrap(
        [np.asarray(column, float) for column in columns],
        along,
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return float(ends.low), float(ends.high)
