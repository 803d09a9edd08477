"""Divisions of the looks, which show where the answers are good and where they are not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fsb_perception.replay.metrics import SliceScore
from fsb_perception.replay.scoring.matching import Match
from fsb_perception.types import UNKNOWN


def slices(looks: Sequence[Match], right: Sequence[bool]) -> dict[str, dict[str, SliceScore]]:
    """Return the accuracy and the number of looks, by division and slice.

    Args:
        looks: (n) looks of one task.
        right: (n) True where the look gave the true label.
    """
    hits: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for match, hit in zip(looks, right, strict=True):
        for division, slice_of in SLICES.items():
            hits[division][slice_of(match)].append(hit)
    return {
        division: {
            name: SliceScore(look_accuracy=float(np.mean(part)), looks=len(part))
            for name, part in sorted(parts.items())
        }
        for division, parts in hits.items()
    }


def _binned(value: float | None, edges: Sequence[float], names: Sequence[str]) -> str:
    return UNKNOWN if value is None else names[int(np.searchsorted(edges, value, "right"))]


def _height(match: Match) -> str:
    _, top, _, bottom = match.face["box_xyxy"]
    return _binned(bottom - top, (48, 96), ("below 48 px", "48 to 96 px", "above 96 px"))


def _pose(match: Match) -> str:
    yaw = match.face["head_rpy"][2]
    degrees = None if yaw is None else abs(float(np.degrees(yaw)))
    return _binned(degrees, (15, 35), ("frontal", "turned", "far turned"))


def _light(match: Match) -> str:
    return _binned(match.face["brightness"], (0.25, 0.7), ("dark", "medium", "bright"))


def _group(match: Match) -> str:
    return ", ".join(match.attributes.get(t, UNKNOWN) for t in ("gender", "age_group"))


SLICES: Mapping[str, Callable[[Match], str]] = {
    "face height": _height,
    "pose": _pose,
    "light": _light,
    "group": _group,
    "camera": lambda match: match.camera or UNKNOWN,
}
"""Divisions of the looks; a new one is a row here."""
