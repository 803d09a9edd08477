"""Ways to divide looks, to see where the answers are good and where they are not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fsb_perception.replay.scoring.matching import Match
from fsb_perception.types import UNKNOWN


def slices(looks: Sequence[Match], right: Sequence[bool]) -> dict[str, dict[str, Any]]:
    """Accuracy and number of looks, by way of dividing and part."""
    found: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for match, hit in zip(looks, right, strict=True):
        for name, slice_of in SLICES.items():
            found[name][slice_of(match)].append(hit)
    return {
        name: {
            part: {"look_accuracy": float(np.mean(hits)), "looks": len(hits)}
            for part, hits in sorted(parts.items())
        }
        for name, parts in found.items()
    }


def _bins(value: float | None, edges: Sequence[float], names: Sequence[str]) -> str:
    return UNKNOWN if value is None else names[int(np.searchsorted(edges, value, "right"))]


def _size(match: Match) -> str:
    _, top, _, bottom = match.face["box_xyxy"]
    return _bins(bottom - top, (48, 96), ("below 48 px", "48 to 96 px", "above 96 px"))


def _pose(match: Match) -> str:
    yaw = match.face["head_rpy"][2]
    degrees = None if yaw is None else abs(float(np.degrees(yaw)))
    return _bins(degrees, (15, 35), ("frontal", "turned", "far turned"))


def _light(match: Match) -> str:
    return _bins(match.face["brightness"], (0.25, 0.7), ("dark", "medium", "bright"))


def _group(match: Match) -> str:
    return ", ".join(match.attributes.get(t, UNKNOWN) for t in ("gender", "age_group"))


SLICES: Mapping[str, Callable[[Match], str]] = {
    "face height": _size,
    "pose": _pose,
    "light": _light,
    "group": _group,
    "camera": lambda match: match.camera or UNKNOWN,
}
"""Ways to divide looks; a new one is a row here."""
