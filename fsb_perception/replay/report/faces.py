"""The plot of one camera over time: its images, the faces followed, and the answers about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import ColorType

from fsb_perception.pages.drawing import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    RED,
    Drawn,
    label_colours,
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
"""Number of faces of a camera that have a lane, at most."""

_LANE = 0.19  # inches
_FULL = 0.86  # of a lane's height: the rest keeps it apart from the next
_STATES = {
    TrackState.CONFIRMED.name: ("confirmed", BLUE),
    TrackState.TENTATIVE.name: ("new", f"{BLUE}99"),
    TrackState.COASTED.name: ("out of sight", f"{BLUE}4d"),
}
_WITHHELD = "withheld"


def longest(tracks: Sequence[Track]) -> list[Track]:
    """Return the `MOST` faces that were followed longest, in the order of their first images."""
    chosen = sorted(tracks, key=lambda t: t.states.seconds[0] - t.states.seconds[-1])[:MOST]
    return [track for track in tracks if track in chosen]


@picture
def camera_over_time(number: int, camera: Camera, replay: Replay) -> Drawn:
    """Draw images a second, faces followed, and one panel a task, over the same time."""
    tracks = longest(camera.tracks)
    tasks = [task for task in replay.labels if any(task in track.answers for track in tracks)]
    lane_height = _LANE * max(2, len(tracks)) + 0.1
    heights = [0.7] + [lane_height] * (bool(tracks) + len(tasks))
    figure, (images, *panels) = stack(heights, replay.span, "seconds since the first stamp")
    _draw_images(images, camera, replay.span)
    if tracks:
        _draw_states(panels[0], tracks, camera.gap)
    for axes, task in zip(panels[1:], tasks, strict=True):
        answers = [track.answers.get(task) for track in tracks]
        _draw_lanes(axes, task, answers, _colours(task, replay.labels[task]), _shown, camera.gap)
    for axes in panels:
        _name_lanes(axes, tracks)
    alt = (
        f"Camera {camera.name or 'without a name'} over {replay.span:.1f} seconds: images a second,"
        f" {len(tracks)} faces followed, and the answers about {', '.join(tasks) or 'nothing'}"
    )
    return f"camera-{number}", alt, figure


def _draw_images(axes: Axes, camera: Camera, span: float) -> None:
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


def _draw_states(axes: Axes, tracks: Sequence[Track], gap: float) -> None:
    lanes = [track.states._replace(values=np.ones(len(track.states.seconds))) for track in tracks]
    colours: dict[str, ColorType] = dict(_STATES.values())
    _draw_lanes(axes, "faces followed", lanes, colours, lambda state: _STATES[state][0], gap)


def _draw_lanes(
    axes: Axes,
    title: str,
    lanes: Sequence[Lane | None],
    colours: Mapping[str, ColorType],
    word: Callable[[str], str],
    gap: float,
) -> None:
    """Draw one lane a face: the colour is the word, the height its value."""
    span = axes.get_xlim()[1]
    shapes: dict[str, list[Values]] = {}
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
    """Return the corners (n, 2) of a piece that steps up from its base; the axis points down."""
    x = np.repeat(piece.edges, 2)
    y = np.concatenate(([base], np.repeat(base - _FULL * piece.values, 2), [base]))
    return np.column_stack((x, y))


def _name_lanes(axes: Axes, tracks: Sequence[Track]) -> None:
    places = np.arange(len(tracks)) + _FULL
    axes.set_yticks(places - _FULL / 2, _short([track.face_id for track in tracks]), fontsize=7.5)
    axes.set_ylim(len(tracks), 0)
    axes.tick_params(axis="y", length=0)
    axes.hlines(places, 0, axes.get_xlim()[1], color=INK, alpha=0.25, linewidth=0.5)


def _short(names: Sequence[str]) -> list[str]:
    """Return the ends of face ids where they differ: "face 12" for "face_kitchen_door_12"."""
    ends = [name.rpartition("_")[2] for name in names]
    if len(set(ends)) < len(names):
        return [letters(name) for name in names]
    return [letters(f"face {end}") for end in ends]


def _shown(label: str) -> str:
    return _WITHHELD if label == UNKNOWN else label


def _colours(task: str, labels: Sequence[str]) -> dict[str, ColorType]:
    colours = label_colours(len(labels), ordered=task in TASKS and TASKS[task].ordered)
    return dict(zip(labels, colours, strict=True)) | {_WITHHELD: GREY}
