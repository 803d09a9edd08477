"""A picture of the label counts of data sets: one row a task, one panel a data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from fsb_perception.tasks import TASKS
from fsb_training.data.survey import Part, histogram

_PANEL = (3.2, 2.7)  # inches
_COLOURS = {"train": "#3b6ea8", "val": "#e0a030", "valid": "#e0a030", "test": "#b0413e"}
_OTHER_COLOUR = "#6a7f92"


def draw(parts: Sequence[Part]) -> Figure:
    """Draw bars of faces by label, stacked by part; each panel has its own scale.

    Args:
        parts: parts of a survey; those without faces are skipped.
    """
    rows = [panels for task in TASKS if (panels := _panels(task, parts))]
    columns = max((len(panels) for panels in rows), default=1)
    size = (_PANEL[0] * columns, _PANEL[1] * max(len(rows), 1))
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.1))
    grid = figure.subplots(max(len(rows), 1), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, panels in zip(grid, rows, strict=False):
        for axes, (task, chosen) in zip(row, panels, strict=False):
            axes.set_axis_on()
            _fill(axes, task, chosen)
        row[0].set_ylabel(f"{panels[0][0]}\nfaces")
    _explain(figure, parts)
    return figure


def save(parts: Sequence[Part], file: Path) -> None:
    """Write the picture to ``file``, a PNG, SVG or PDF by its suffix."""
    draw(parts).savefig(file, dpi=130)


def _panels(task: str, parts: Sequence[Part]) -> list[tuple[str, list[Part]]]:
    """Return the task and the parts of each data set that has labels of it."""
    chosen: dict[str, list[Part]] = {}
    for part in parts:
        if part.faces is not None and histogram(part.faces, task)[0].any():
            chosen.setdefault(part.name, []).append(part)
    return [(task, same_set) for same_set in chosen.values()]


def _fill(axes: Axes, task: str, parts: Sequence[Part]) -> None:
    labels = TASKS[task].labels
    below = np.zeros(len(labels), np.int64)
    for part in parts:
        assert part.faces is not None
        counts, _ = histogram(part.faces, task)
        axes.bar(labels, counts, bottom=below, color=_colour(part.part))
        below += counts
    axes.set_title(f"{parts[0].name}: {below.sum():,}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    if len(labels) > 2:
        axes.tick_params("x", rotation=60)


def _explain(figure: Figure, parts: Sequence[Part]) -> None:
    """Put one legend of the parts' colours above all panels."""
    names: dict[str, list[str]] = {}
    for name in dict.fromkeys(part.part for part in parts if part.faces is not None):
        names.setdefault(_colour(name), []).append(name)
    figure.legend(
        handles=[Patch(color=colour, label=" or ".join(same)) for colour, same in names.items()],
        loc="outside upper left",
        ncols=len(names),
        frameon=False,
    )


def _colour(part: str) -> str:
    return _COLOURS.get(part, _OTHER_COLOUR)
