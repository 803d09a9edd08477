"""The plots of a report: small, each a picture by itself, so that a phone shows one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fsb_perception.metric_words import METRICS
from fsb_perception.pages.drawing import (
    BLUE,
    INK,
    ORANGE,
    Drawn,
    in_percent,
    label_colours,
    picture,
)
from fsb_perception.pages.text import plain
from fsb_perception.tasks import TASKS
from fsb_perception.types import Floats
from fsb_training.judging.results import Bin, Result
from fsb_training.judging.subgroups import Grouping
from fsb_training.report.features import FeatureMap

_BEFORE, _AFTER = ORANGE, BLUE
_WIDTH = 3.6  # inches: 346 px, the width of a phone


def _figure(height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


@picture
def reliability(result: Result) -> Drawn:
    """Draw the accuracy of the answers of each confidence, before and after calibration."""
    figure, (axes, counts) = _figure(3.7, 2, sharex=True, height_ratios=(4, 1))
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    for name, bins, colour, marker in (
        ("before", result.before, _BEFORE, "s"),
        ("after", result.after, _AFTER, "o"),
    ):
        key = "ece_before" if name == "before" else "ece"
        ece = METRICS[key].text(result.metrics[key])
        _draw_bins(axes, bins, colour, marker, f"{name}: ECE {ece}")
    axes.set(ylim=(0, 1.02), xlim=(0, 1.02), ylabel="answers that are right")
    axes.legend(loc="upper left")
    middles = [(item.low + item.high) / 2 for item in result.after]
    counts.bar(middles, [item.count for item in result.after], width=0.05, color=_AFTER)
    counts.set(ylabel="faces", xlabel="confidence of the answer")
    counts.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    in_percent(axes.yaxis, axes.xaxis)
    alt = f"Reliability diagram of {result.task} on {result.spec}"
    return f"reliability-{result.data}-{result.task}", alt, figure


def _draw_bins(axes: Axes, bins: Sequence[Bin], colour: str, marker: str, label: str) -> None:
    x, y = [item.confidence for item in bins], [item.accuracy for item in bins]
    axes.plot(x, y, color=colour, marker=marker, markersize=4, linewidth=1.2, label=label)


@picture
def groups(result: Result) -> Drawn:
    """Draw the accuracy of every group by one attribute, with its 95 % interval.

    Args:
        result: a result that has groupings.
    """
    single = [grouping for grouping in result.groupings if len(grouping.attributes) == 1]
    count = sum(len(grouping.groups) + 1 for grouping in single)
    figure, axes = _figure(0.8 + 0.2 * count)
    names: list[str] = []
    for grouping in single:
        _draw_groups(axes, grouping, names)
    axes.axvline(result.metrics["accuracy"], color=_AFTER, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlabel="accuracy; dashed: of all faces")
    in_percent(axes.xaxis)
    axes.grid(axis="x", color=INK, alpha=0.15)
    alt = f"Accuracy of {result.task} on {result.spec} by group of people, with 95 % intervals"
    return f"groups-{result.data}-{result.task}", alt, figure


def _draw_groups(axes: Axes, grouping: Grouping, names: list[str]) -> None:
    """Draw one row a group below the rows of ``names``, and add its name there."""
    names.append(f"{plain(grouping.name)}:")
    for group in grouping.groups:
        row = len(names)
        names.append(f"{plain(group.name)} ({group.count:,})")
        if group.judged:
            axes.plot(group.interval, [row, row], color=INK, linewidth=1)
            axes.plot([group.accuracy], [row], "o", color=_AFTER, markersize=4.5)


@picture
def feature_map(features: FeatureMap) -> Drawn:
    """Draw the faces of a t-SNE map, coloured by their true label."""
    task = TASKS[features.task]
    figure, axes = _figure(4.2)
    colours = label_colours(len(task.labels), ordered=task.ordered)
    for code, (label, colour) in enumerate(zip(task.labels, colours, strict=True)):
        x, y = features.xy[features.labels == code].T
        # As pixels inside the SVG: thousands of points would make it large and slow.
        axes.scatter(x, y, s=5, color=colour, linewidths=0, alpha=0.8, rasterized=True)
        axes.scatter([], [], s=25, color=colour, label=label)
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, handletextpad=0.1)
    alt = f"t-SNE map of {len(features.xy):,} faces, coloured by {plain(features.task)}"
    return f"tsne-{features.task}", alt, figure


Row = tuple[str, Floats | Sequence[Any]]
"""A heading, and one RGB picture (h, w, 3) a face: uint8, or floats from 0 to 1."""


@picture
def patch_maps(rows: Sequence[Row]) -> Drawn:
    """Draw maps of patch features: one column a face, one row a tower."""
    faces = len(rows[0][1])
    height = len(rows) * (_WIDTH / faces + 0.1)
    figure, grid = _figure(height, len(rows), faces, squeeze=False)
    for line, (heading, images) in zip(grid, rows, strict=True):
        line[0].set_ylabel(heading)
        for axes, image in zip(line, images, strict=True):
            axes.imshow(image, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    alt = "Patch features of the sample faces as colours: " + ", ".join(name for name, _ in rows)
    return "patches", alt, figure
