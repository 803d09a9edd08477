"""How sure a number is: 95 % intervals by the bootstrap over tracks or people, not frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST = 2
"""Tracks or people that an interval can be of."""

_RESAMPLES = 2000
_SEED = 0


def interval(
    statistic: Callable[..., NDArray[np.float64]], columns: Sequence[Sequence[float]]
) -> tuple[float | None, float | None]:
    """Low and high of a statistic when its rows are drawn anew; None for too few of them.

    Args:
        statistic: of the columns, along their last axis.
        columns: of equal length; a row is drawn with all that it holds.
    """
    from scipy.stats import bootstrap

    if len(columns[0]) < FEWEST:
        return None, None

    def along(*samples: NDArray[np.float64], axis: int) -> Any:
        del axis  # the last: scipy asks for the word
        return statistic(*samples)

    found = bootstrap(
        [np.asarray(column, float) for column in columns],
        along,
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return float(found.low), float(found.high)
