"""The report's pictures: small SVGs, each for itself, so that a phone can show them one by one.

Lines and letters are of one colour, which a rule inside each SVG turns light where the reader's
system is dark.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fsb_perception.tasks import TASKS
from fsb_perception.types import Floats
from fsb_training.judging.results import Bin, Result
from fsb_training.judging.subgroups import Grouping
from fsb_training.report.features import FeatureMap

_INK, _INK_IN_THE_DARK = "#404040", "#d4d4d4"
_BEFORE, _AFTER = "#d9822b", "#3b7dd8"
_WIDTH = 3.6  # inches: 346 px, the width of a phone
_STYLE: Any = {
    "svg.fonttype": "none",  # letters stay letters: small, sharp, and to be searched
    "svg.hashsalt": "fsb",  # the same picture at every run
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK
    ),
}
_NIGHT = "".join(
    f'[style*="{part}: {_INK}"]{{{part}:{_INK_IN_THE_DARK}!important}}'
    for part in ("fill", "stroke")
)


@dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Attributes:
        name: of its file, without the ending.
        alt: what it shows, for those who do not see it.
        svg: the picture.
    """

    name: str
    alt: str
    svg: bytes


def _picture(name: str, alt: str, figure: Figure) -> Picture:
    buffer = io.BytesIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=metadata, dpi=144)
    night = f"@media (prefers-color-scheme:dark){{{_NIGHT}}}</style>"
    return Picture(name, alt, buffer.getvalue().replace(b"</style>", night.encode(), 1))


def _new(height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


@mpl.rc_context(_STYLE)
def reliability(result: Result) -> Picture:
    """How often answers of each confidence are right, before and after calibration."""
    figure, (axes, counts) = _new(3.7, 2, sharex=True, height_ratios=(4, 1))
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":")
    ece = result.metrics
    _line(axes, result.before, _BEFORE, "s", f"before: ECE {100 * ece['ece_before']:.1f} %")
    _line(axes, result.after, _AFTER, "o", f"after: ECE {100 * ece['ece']:.1f} %")
    axes.set(ylim=(0, 1.02), xlim=(0, 1.02), ylabel="answers that are right")
    axes.legend(frameon=False, loc="upper left", fontsize=8)
    middles = [(each.low + each.high) / 2 for each in result.after]
    counts.bar(middles, [each.count for each in result.after], width=0.05, color=_AFTER)
    counts.set(ylabel="faces", xlabel="confidence of the answer")
    counts.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    for axis in (axes.yaxis, axes.xaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    alt = f"Reliability diagram of {result.task} on {result.spec}"
    return _picture(f"reliability-{result.data}-{result.task}", alt, figure)


def _line(axes: Axes, bins: Sequence[Bin], colour: str, marker: str, label: str) -> None:
    x, y = [each.confidence for each in bins], [each.accuracy for each in bins]
    axes.plot(x, y, color=colour, marker=marker, markersize=4, linewidth=1.2, label=label)


@mpl.rc_context(_STYLE)
def gaps(result: Result) -> Picture | None:
    """Accuracy of every group by one attribute, with its interval; None where there are none."""
    single = [each for each in result.groupings if len(each.attributes) == 1]
    count = sum(len(each.groups) + 1 for each in single)
    if not count:
        return None
    figure, axes = _new(0.8 + 0.2 * count)
    names: list[str] = []
    for grouping in single:
        _rows(axes, grouping, names)
    axes.axvline(result.metrics["accuracy"], color=_AFTER, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlabel="accuracy; dashed: of all faces")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.grid(axis="x", color=_INK, alpha=0.15)
    alt = f"Accuracy of {result.task} on {result.spec} by group of people, with 95 % intervals"
    return _picture(f"groups-{result.data}-{result.task}", alt, figure)


def _rows(axes: Axes, grouping: Grouping, names: list[str]) -> None:
    names.append(f"{plain(grouping.name)}:")
    for group in grouping.groups:
        at = len(names)
        names.append(f"{plain(group.name)} ({group.count:,})")
        if group.judged:
            low, high = group.interval
            axes.plot([low, high], [at, at], color=_INK, linewidth=1)
            axes.plot([group.accuracy], [at], "o", color=_AFTER, markersize=4.5)


def plain(name: str) -> str:
    """A name without underlines."""
    return name.replace("_", " ")


@mpl.rc_context(_STYLE)
def feature_map(made: FeatureMap) -> Picture:
    """The faces of a t-SNE map, coloured by their true label."""
    labels = TASKS[made.task].labels
    figure, axes = _new(4.2)
    colours = _colours(made.task)
    for code in range(len(labels)):
        here = made.xy[made.labels == code]
        # As pixels inside the SVG: thousands of points would be a slow picture.
        axes.scatter(
            here[:, 0],
            here[:, 1],
            s=5,
            color=colours[code],
            linewidths=0,
            alpha=0.8,
            rasterized=True,
        )
        axes.scatter([], [], s=25, color=colours[code], label=labels[code])
    axes.set(xticks=[], yticks=[], aspect="equal")
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8, handletextpad=0.1)
    alt = f"t-SNE map of {len(made.xy):,} faces, coloured by {plain(made.task)}"
    return _picture(f"tsne-{made.task}", alt, figure)


def _colours(task: str) -> Floats:
    """Ordered labels run through one scale, others are told apart."""
    count = len(TASKS[task].labels)
    if TASKS[task].ordered:
        return np.asarray(colormaps["plasma"](np.linspace(0.2, 0.9, count)))
    return np.asarray(colormaps["tab10"](np.arange(count)))


Row = tuple[str, Floats | Sequence[Any]]


@mpl.rc_context(_STYLE)
def patch_maps(rows: Sequence[Row]) -> Picture:
    """Maps of patches, one above the other for each face.

    Args:
        rows: heading, and a picture (h, w, 3) for each face, RGB.
    """
    faces = len(rows[0][1])
    height = len(rows) * (_WIDTH / faces + 0.1)
    figure, grid = _new(height, len(rows), faces, squeeze=False)
    for line, (heading, pictures) in zip(grid, rows, strict=True):
        line[0].set_ylabel(heading)
        for axes, picture in zip(line, pictures, strict=True):
            axes.imshow(picture, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    alt = "Patch features of the sample faces as colours: " + ", ".join(name for name, _ in rows)
    return _picture("patches", alt, figure)
