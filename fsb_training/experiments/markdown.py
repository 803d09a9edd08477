"""Markdown for tables and numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from fsb_training.experiments.estimates import Estimate

NOT_RUN = "not run"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Build a table; the first column is text, the others are numbers.

    >>> print(table(("system", "accuracy"), [("LoRA", "0.9")]))
    | system | accuracy |
    | --- | ---: |
    | LoRA | 0.9 |
    """
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def number(value: float, digits: int = 3) -> str:
    """Return a number as text; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def share(estimate: Estimate, planned: int) -> str:
    """Return mean, interval and range over the seeds; and the number of seeds, if some are missing.

    >>> share(Estimate(0.8712, 0.0093, 0.868, 0.875, 3), 3)
    '0.871 ± 0.009 (0.868-0.875)'
    """
    text = number(estimate.mean)
    if not math.isnan(estimate.half_width):
        text += f" ± {number(estimate.half_width)}"
    if estimate.seeds > 1:
        text += f" ({number(estimate.low)}-{number(estimate.high)})"
    return text + (f", {estimate.seeds} of {planned} seeds" if estimate.seeds < planned else "")


def points(estimate: Estimate) -> str:
    """Return a difference in percentage points with its interval; bold if that leaves out zero.

    >>> points(Estimate(0.012, 0.004, 0.01, 0.014, 3)), points(Estimate(-0.001, 0.004, 0, 0, 3))
    ('**+1.2 ± 0.4**', '-0.1 ± 0.4')
    """
    text = f"{100 * estimate.mean:+.1f} ± {100 * estimate.half_width:.1f}"
    return f"**{text}**" if abs(estimate.mean) > estimate.half_width else text


def megabytes(size: float) -> str:
    """Return a number of bytes in MB, without the unit."""
    return f"{size / 1e6:.1f}"


def percent(share: float) -> str:
    """Return a share as percent with two or three figures, without powers of ten.

    >>> percent(0.20651), percent(0.0099), percent(1e-8), percent(1.0)
    ('20.7 %', '0.99 %', '< 0.01 %', '100 %')
    """
    if 0 < share < 5e-5:
        return "< 0.01 %"
    return f"{100 * share:.{0 if share == 1 else 1 if share >= 0.1 else 2}f} %"
