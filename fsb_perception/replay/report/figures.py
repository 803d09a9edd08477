"""The plots of measured numbers: speed, load, and the effect of withholding unsure answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fsb_perception.pages.drawing import (
    BLUE,
    COLOURS,
    INK,
    ORANGE,
    Drawn,
    in_percent,
    legend,
    letters,
    picture,
    stack,
)
from fsb_perception.replay.report.collect import Camera, Replay
from fsb_perception.replay.report.lanes import Values, envelope, medians

_MARKERS = "osD^vP"


@picture
def speed(replay: Replay) -> Drawn:
    """Draw the time that each image took, one panel a camera."""
    shown = [camera for camera in replay.cameras if len(camera.process[0])]
    figure, panels = stack([1.3] * len(shown), replay.span, "seconds since the first stamp")
    for axes, camera in zip(panels, shown, strict=True):
        axes.set_title(letters(camera.name or "without a name", 24))
        axes.set_ylabel("ms an image")
        _draw_times(axes, camera, replay.span)
        legend(axes, after=2.1)
    alt = f"Milliseconds that each image took, over {replay.span:.1f} seconds, by camera"
    return "speed", alt, figure


def _draw_times(axes: Axes, camera: Camera, span: float) -> None:
    series = [("to process", camera.process, BLUE), ("publish to answer", camera.wait, ORANGE)]
    series = [item for item in series if len(item[1][0])]
    top = 1.5 * max(_nearly_highest(values) for _, (_, values), _ in series)
    for name, (seconds, values), colour in series:
        x, y = envelope(seconds, values, span)
        beyond = y > top
        dots: Any = {"linestyle": "", "color": colour, "markeredgewidth": 0}
        axes.plot(x[~beyond], y[~beyond], marker="o", markersize=2.2, alpha=0.45, **dots)
        axes.plot(x[beyond], [top] * beyond.sum(), marker="^", markersize=5, clip_on=False, **dots)
        axes.plot(*medians(seconds, values, span), color=colour, linewidth=1.6, label=name)
    axes.set_ylim(0, top)
    axes.yaxis.set_major_locator(MaxNLocator(4))


def _nearly_highest(values: Values) -> float:
    """Return the 99th percentile: a first image may take a hundred times as long as the others."""
    return float(sorted(values)[int(0.99 * (len(values) - 1))])


_LOAD = {
    "cpu": "processor cores in use",
    "memory_mib": "memory, MiB",
    "gpu_memory_mib": "GPU memory, MiB",
}


@picture
def load(measured: Mapping[str, tuple[Values, Values]]) -> Drawn:
    """Draw the cores and the memory that the answering process used."""
    shown = [(name, title) for name, title in _LOAD.items() if name in measured]
    span = max([float(measured[name][0][-1]) for name, _ in shown] + [1e-3])
    figure, panels = stack([1.0] * len(shown), span, "seconds of measuring")
    for axes, (name, title) in zip(panels, shown, strict=True):
        seconds, values = measured[name]
        axes.plot(*envelope(seconds, values, span), color=BLUE, linewidth=1.2)
        axes.set_title(title)
        axes.set_ylim(0, 1.15 * max(float(values.max()), 1e-3))
        axes.yaxis.set_major_locator(MaxNLocator(4))
    titles = ", ".join(title for _, title in shown)
    return "load", f"Load of the machine over {span:.0f} seconds: {titles}", figure


@picture
def risk_coverage(tables: Mapping[str, Sequence[Mapping[str, float]]]) -> Drawn:
    """Draw the share of right answers over the share of answers that are given, by task."""
    figure = Figure(figsize=(4.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for number, (task, table) in enumerate(tables.items()):
        known = [row for row in table if "accuracy" in row]
        x, y = ([row[name] for row in known] for name in ("coverage", "accuracy"))
        look: Any = {
            "color": COLOURS[number % len(COLOURS)],
            "marker": _MARKERS[number % len(_MARKERS)],
        }
        axes.plot(x, y, markersize=5, linewidth=1.4, label=letters(task, 20), **look)
    axes.set(xlim=(0, 1.03), ylim=(0, 1.03), xlabel="answers given", ylabel="of those, right")
    axes.grid(color=INK, alpha=0.15, linewidth=0.6)
    in_percent(axes.xaxis, axes.yaxis)
    axes.legend(loc="lower left")
    return "risk-coverage", "Share of right answers over the share of answers given", figure
