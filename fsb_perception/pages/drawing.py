"""Plots as SVG, which follow the reader's light or dark theme.

Lines and letters have one colour, which becomes that of the text around the plot. The colours of
data can be seen on white and on black. A function that draws is decorated by `picture`.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from matplotlib.typing import ColorType

from fsb_perception.pages.text import plain

INK, BLUE, ORANGE, RED, GREY = "#404040", "#3b7dd8", "#e0862b", "#d23f3f", "#8c8c8c"
COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#bcbd22",
    "#17becf",
)  # fmt: skip
"""Colours of labels or tasks that have no order: matplotlib's "tab10" without its grey."""

_INK_IN_THE_DARK = "#d4d4d4"
_IN_THE_DARK = "".join(
    f'[style*="{part}: {INK}"]{{{part}:{_INK_IN_THE_DARK}!important}}'
    for part in ("fill", "stroke")
)
_WIDE, _LEFT, _RIGHT = 8.0, 0.9, 0.15  # inches
_TITLE, _FOOT = 0.34, 0.5
_STYLE: Any = {
    "svg.fonttype": "none",  # letters stay letters: small, sharp, and found by a search
    "svg.hashsalt": "fsb",  # the same picture at every run
    "text.parse_math": False,  # a $ in a name is a $
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 8,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    ),
}


@dataclass(frozen=True)
class Picture:
    """A plot.

    Attributes:
        name: unique on its page; also the name of its file, without the ending.
        alt: what the plot shows, in words.
        svg: the text of a whole SVG file; a rule inside it turns lines and letters light where the
            reader's system is dark.

    >>> Picture("load", "Load of the CPU", '<svg><path id="a"/></svg>').inline
    '<svg role="img" aria-label="Load of the CPU"><path id="load-a"/></svg>'
    """

    name: str
    alt: str
    svg: str

    @property
    def inline(self) -> str:
        """The plot as an element of an HTML page, with `alt` as its label; it needs no escaping."""
        svg = self.svg[self.svg.index("<svg") :].replace(INK, "currentColor")
        svg = re.sub(r"<style.*?</style>", "", svg, count=1, flags=re.DOTALL)  # the page has it
        svg = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{self.name}-", svg)  # ids unique on a page
        svg = re.sub(r'="[^"]*"', _shorten, svg)
        return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(self.alt)}"', 1)


_P = ParamSpec("_P")
Drawn = tuple[str, str, Figure]
"""Name, alternative text, and the figure."""


def picture(draw: Callable[_P, Drawn]) -> Callable[_P, Picture]:
    """Decorate a function that draws: it uses the pages' style and returns a `Picture`."""

    @wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> Picture:
        with mpl.rc_context(_STYLE):
            name, alt, figure = draw(*args, **kwargs)
            return Picture(name, alt, _svg(figure))

    return drawn


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=metadata, dpi=144)
    rule = f"@media (prefers-color-scheme:dark){{{_IN_THE_DARK}}}</style>"
    return buffer.getvalue().replace("</style>", rule, 1)


def _shorten(attribute: re.Match[str]) -> str:
    """Cut numbers to hundredths of a point, enough for coordinates."""
    return re.sub(r"(\d\.\d\d)\d+", r"\1", attribute[0])


def label_colours(count: int, *, ordered: bool) -> list[ColorType]:
    """Return a colour for each label: ordered labels share one scale, others differ in hue."""
    if ordered:
        return list(map(tuple, colormaps["plasma"](np.linspace(0.2, 0.9, count))))
    return [COLOURS[number % len(COLOURS)] for number in range(count)]


def letters(name: str, most: int = 14) -> str:
    """Return a name that fits a plot: ASCII alone, for its font, and at most ``most`` letters."""
    shown = "".join(c if " " <= c <= "~" else "?" for c in plain(name))
    return shown if len(shown) <= most else "..." + shown[3 - most :]


def stack(heights: Sequence[float], span: float, xlabel: str) -> tuple[Figure, list[Axes]]:
    """Make panels one above the other over the same time.

    Args:
        heights: height of each panel, in inches.
        span: length of the time axis, in seconds.
        xlabel: label below the last panel.
    """
    top = total = sum(heights) + _TITLE * len(heights) + _FOOT
    figure, panels = Figure(figsize=(_WIDE, total)), []
    for height in heights:
        top -= _TITLE + height
        place = (_LEFT / _WIDE, top / total, 1 - (_LEFT + _RIGHT) / _WIDE, height / total)
        axes = figure.add_axes(place, xlim=(0, span))
        axes.tick_params(labelbottom=False)
        axes.grid(axis="x", color=INK, alpha=0.15, linewidth=0.6)
        panels.append(axes)
    panels[-1].tick_params(labelbottom=True)
    panels[-1].set_xlabel(xlabel)
    return figure, panels


def legend(axes: Axes, handles: Sequence[Artist] | None = None, after: float = 1.25) -> None:
    """Put a legend beside a panel's title.

    Args:
        axes: the panel.
        handles: its entries; default: every artist with a label.
        after: width of the title, in inches.
    """
    handles = axes.get_legend_handles_labels()[0] if handles is None else handles
    if handles:
        axes.legend(
            handles=handles, loc="lower left", ncols=len(handles), borderaxespad=0.1,
            bbox_to_anchor=(after / (_WIDE - _LEFT - _RIGHT), 1),
            handlelength=0.9, columnspacing=0.8, handletextpad=0.35,
        )  # fmt: skip


def in_percent(*axes: Axis) -> None:
    """Label the ticks of axes from 0 to 1 as percent."""
    for axis in axes:
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
