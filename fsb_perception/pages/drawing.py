"""How the page's plots look: SVGs that stand in the page itself.

Their lines and letters take the colour of the page's letters, so that they can be seen by day and
by night; what is coloured can be told on white and on black.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, BLUE, ORANGE, RED, GREY = "#404040", "#3b7dd8", "#e0862b", "#d23f3f", "#8c8c8c"
COLOURS = (BLUE, ORANGE, "#3a9d5d", "#d1aa12", "#8f62c9", RED, "#2ba3a0", "#c4577f", "#8a6d3b")
"""Of what has no order."""

_WIDE, _LEFT, _RIGHT = 8.0, 0.9, 0.15  # inches
_TITLE, _FOOT = 0.34, 0.5
_STYLE: Any = {
    "svg.fonttype": "none",  # letters stay letters: small, sharp, and to be searched
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
        name: of it, in the page's addresses.
        alt: what it shows, for those who do not see it.
        svg: the element.
    """

    name: str
    alt: str
    svg: str


_P = ParamSpec("_P")
Drawn = tuple[str, str, Figure]
"""Name, alternative text, and what was drawn."""


def picture(draw: Callable[_P, Drawn]) -> Callable[_P, Picture]:
    """Draw in the page's style, and turn the figure into a picture."""

    @wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> Picture:
        with mpl.rc_context(_STYLE):
            name, alt, figure = draw(*args, **kwargs)
            return Picture(name, alt, _svg(name, figure))

    return drawn


def _svg(name: str, figure: Figure) -> str:
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<style.*?</style>", "", svg, count=1, flags=re.DOTALL)  # the page has it
    svg = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{name}-", svg)  # one page, many plots
    return re.sub(r'="[^"]*"', _shorter, svg)


def _shorter(attribute: re.Match[str]) -> str:
    """Hundredths of a point are enough for coordinates; letters, as of the axes, stay."""
    return re.sub(r"(\d\.\d\d)\d+", r"\1", attribute[0])


def plain(name: str) -> str:
    """A name without underlines."""
    return name.replace("_", " ")


def letters(name: str, most: int = 14) -> str:
    """A name for a plot, whose font has few letters and whose margin little room."""
    shown = "".join(c if " " <= c <= "~" else "?" for c in plain(name))
    return shown if len(shown) <= most else "..." + shown[3 - most :]


def stack(heights: Sequence[float], span: float, xlabel: str) -> tuple[Figure, list[Axes]]:
    """Panels one above the other over the same time.

    Args:
        heights: of each, in inches.
        span: of time, in seconds.
        xlabel: below the last.
    """
    top = total = sum(heights) + _TITLE * len(heights) + _FOOT
    figure, panels = Figure(figsize=(_WIDE, total), facecolor="none"), []
    for height in heights:
        top -= _TITLE + height
        place = (_LEFT / _WIDE, top / total, 1 - (_LEFT + _RIGHT) / _WIDE, height / total)
        axes = figure.add_axes(place, facecolor="none", xlim=(0, span))
        axes.tick_params(labelbottom=False)
        axes.grid(axis="x", color=INK, alpha=0.15, linewidth=0.6)
        panels.append(axes)
    panels[-1].tick_params(labelbottom=True)
    panels[-1].set_xlabel(xlabel)
    return figure, panels


def legend(axes: Axes, handles: Sequence[Any] | None = None, after: float = 1.25) -> None:
    """Beside a panel's title.

    Args:
        axes: the panel.
        handles: what is in it; all that has a label, if not named.
        after: inches that the title takes.
    """
    handles = axes.get_legend_handles_labels()[0] if handles is None else handles
    if handles:
        axes.legend(
            handles=handles, loc="lower left", ncols=len(handles), borderaxespad=0.1,
            bbox_to_anchor=(after / (_WIDE - _LEFT - _RIGHT), 1),
            handlelength=0.9, columnspacing=0.8, handletextpad=0.35,
        )  # fmt: skip
