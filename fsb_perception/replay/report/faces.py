"""The plot of one camera: its images, the faces followed, and what was said of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from fsb_perception.pages.drawing import (
    BLUE,
    COLOURS,
    GREY,
    INK,
    ORANGE,
    RED,
    Drawn,
    legend,
    letters,
    picture,
    stack,
)
from fsb_perception.replay.report.collect import Camera, Replay, Track
from fsb_perception.replay.report.lanes import Lane, Piece, Values, pieces, rates
from fsb_perception.tasks import TASKS
from fsb_perception.types import UNKNOWN, TrackState

MOST = 12
"""Faces of a camera that have a lane."""

_LANE = 0.19  # inches
_FULL = 0.86  # of a lane's height: the rest keeps it apart from the next
_STATES = {
    TrackState.CONFIRMED.name: ("confirmed", BLUE),
    TrackState.TENTATIVE.name: ("new", f"{BLUE}99"),
    TrackState.COASTED.name: ("out of sight", f"{BLUE}4d"),
}
_WITHHELD = "withheld"


def longest(tracks: Sequence[Track]) -> list[Track]:
    """The `MOST` faces that were followed longest, in the order of their first sight."""
    chosen = sorted(tracks, key=lambda t: t.states.seconds[0] - t.states.seconds[-1])[:MOST]
    return [track for track in tracks if track in chosen]


@picture
def camera_over_time(number: int, camera: Camera, replay: Replay) -> Drawn:
    """Images a second, faces followed, and a panel a task, over the same time."""
    tracks = longest(camera.tracks)
    tasks = [task for task in replay.labels if any(task in track.said for track in tracks)]
    lanes = _LANE * max(2, len(tracks)) + 0.1
    heights = [0.7] + [lanes] * (bool(tracks) + len(tasks))
    figure, (images, *panels) = stack(heights, replay.span, "seconds since the first stamp")
    _images(images, camera, replay.span)
    if tracks:
        states = [
            track.states._replace(values=np.ones(len(track.states.seconds))) for track in tracks
        ]
        _lanes(
            panels[0],
            "faces followed",
            states,
            dict(_STATES.values()),
            lambda state: _STATES[state][0],
            camera.gap,
        )
    for axes, task in zip(panels[1:], tasks, strict=True):
        said = [track.said.get(task) for track in tracks]
        _lanes(axes, task, said, _colours(task, replay.labels[task]), _shown, camera.gap)
    for axes in panels:
        _names(axes, tracks)
    alt = (
        f"Camera {camera.name or 'without a name'} over {replay.span:.1f} seconds: images a second,"
        f" {len(tracks)} faces followed, and what was said of them: {', '.join(tasks) or 'nothing'}"
    )
    return f"camera-{number}", alt, figure


def _images(axes: Axes, camera: Camera, span: float) -> None:
    below: Values | float = 0.0
    parts = (
        ("answered", camera.answered, BLUE),
        ("dropped", camera.dropped, ORANGE),
        ("unreadable", camera.failed, RED),
    )
    for name, seconds, colour in parts:
        if len(seconds):
            edges, rate = rates(seconds, span)
            axes.stairs(below + rate, edges, baseline=below, fill=True, color=colour, label=name)
            below = below + rate
    axes.set_title("images a second")
    axes.set_ylim(0, 1.1 * max(float(np.max(below)), 1e-3))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    legend(axes)


def _lanes(
    axes: Axes,
    title: str,
    lanes: Sequence[Lane | None],
    colours: Mapping[str, str],
    word: Callable[[str], str],
    gap: float,
) -> None:
    """A lane a face: colour is what was said, height how sure."""
    span = axes.get_xlim()[1]
    shapes: dict[str, list[Any]] = {}
    for row, lane in enumerate(lanes):
        for piece in pieces(lane, gap, span) if lane and len(lane.seconds) else ():
            shapes.setdefault(word(piece.word), []).append(_outline(piece, row + _FULL))
    handles = []
    for name, colour in colours.items():
        if name in shapes:
            axes.add_collection(PolyCollection(shapes[name], facecolors=colour, linewidths=0))
            handles.append(Patch(facecolor=colour, linewidth=0, label=letters(name)))
    axes.set_title(letters(title, 16))
    legend(axes, handles)


def _outline(piece: Piece, base: float) -> Values:
    """Of a piece: steps up from its base; the axis points down."""
    x = np.repeat(piece.edges, 2)
    y = np.concatenate(([base], np.repeat(base - _FULL * piece.values, 2), [base]))
    return np.column_stack((x, y))


def _names(axes: Axes, tracks: Sequence[Track]) -> None:
    places = np.arange(len(tracks)) + _FULL
    axes.set_yticks(places - _FULL / 2, _short([track.face_id for track in tracks]), fontsize=7.5)
    axes.set_ylim(len(tracks), 0)
    axes.tick_params(axis="y", length=0)
    axes.hlines(places, 0, axes.get_xlim()[1], color=INK, alpha=0.25, linewidth=0.5)


def _short(names: Sequence[str]) -> list[str]:
    """Face ids end with what tells them apart: face_kitchen_door_12 is face 12."""
    ends = [name.rpartition("_")[2] for name in names]
    if len(set(ends)) < len(names):
        return [letters(name) for name in names]
    return [letters(f"face {end}") for end in ends]


def _shown(label: str) -> str:
    return _WITHHELD if label == UNKNOWN else label


def _colours(task: str, labels: Sequence[str]) -> dict[str, str]:
    """Ordered labels run through one scale, others are told apart."""
    if task in TASKS and TASKS[task].ordered:
        found = [to_hex(c) for c in colormaps["plasma"](np.linspace(0.12, 0.93, len(labels)))]
    else:
        found = [COLOURS[number % len(COLOURS)] for number in range(len(labels))]
    return dict(zip(labels, found, strict=True)) | {_WITHHELD: GREY}
