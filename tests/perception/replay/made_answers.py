"""Made-up answers and truth: rows as a replay writes them."""

from __future__ import annotations

from typing import Any

from fsb_perception.replay.truth.statements import Statement
from fsb_perception.tasks import TASKS

SECOND = 1_000_000_000
BOX = (100.0, 100.0, 180.0, 200.0)


def shifted(box: tuple, by: float) -> tuple[float, ...]:
    """Move a box to the right."""
    left, top, right, bottom = box
    return (left + by, top, right + by, bottom)


def face(
    face_id: str,
    stamp: int,
    label: str,
    *,
    box: tuple = BOX,
    raw: str = "",
    state: str = "CONFIRMED",
    task: str = "gender",
    confidence: float = 0.9,
    **more: Any,
) -> dict[str, Any]:
    """Make a face of a row, with one estimate from a new look."""
    estimate = {
        "task": task,
        "label": label,
        "confidence": confidence,
        "labels": list(TASKS[task].labels),
        "raw_label": raw or label,
        "raw_confidence": confidence,
        "last_look": stamp,
        "stable": False,
    }
    return {
        "face_id": face_id,
        "state": state,
        "first_seen": SECOND,
        "last_seen": stamp,
        "box_xyxy": list(box),
        "brightness": 0.5,
        "head_rpy": [0.0, 0.0, 0.0],
        "estimates": [estimate | more],
    }


def row(stamp: int, *faces: dict[str, Any], camera: str = "front") -> dict[str, Any]:
    """Make the row of an answered image."""
    return {"camera": camera, "stamp": stamp, "width": 640, "height": 480, "faces": list(faces)}


def true_face(stamp: int, identity: str, box: tuple = BOX, **more: Any) -> Statement:
    """Make a statement about a face, that of a woman by default."""
    attributes = more.pop("attributes", {"gender": "female"})
    return Statement(
        camera="front", stamp=stamp, identity=identity, box_xyxy=box, attributes=attributes, **more
    )
