"""Answers as JSON lines: all that a message would say of a frame, the same bytes at every run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fsb_perception.as_json import flag_names, number
from fsb_perception.types import AttributeEstimate, FaceAttributes

Row = dict[str, Any]


def frame_row(
    camera: str, stamp: int, size: tuple[int, int], faces: Sequence[FaceAttributes]
) -> Row:
    """One processed image.

    Args:
        camera: its name; empty for the one unnamed camera.
        stamp: of the image, in nanoseconds.
        size: width and height in pixels.
        faces: as the pipeline reports them.

    Returns:
        Fields as in ``FaceAttributesArray.msg``, stamps in nanoseconds, null for NaN.
    """
    width, height = size
    return {
        "camera": camera,
        "stamp": stamp,
        "width": width,
        "height": height,
        "faces": [_face(face) for face in faces],
    }


def failed_row(camera: str, stamp: int, error: str) -> Row:
    """An image that could not be processed, and why."""
    return {"camera": camera, "stamp": stamp, "error": error}


def dropped_row(camera: str, stamp: int) -> Row:
    """An image that was played and that the node did not answer, for it was at a newer one."""
    return {"camera": camera, "stamp": stamp, "dropped": True}


def is_answered(row: Row) -> bool:
    """Whether a row says what is in its image."""
    return "faces" in row


def line(row: Mapping[str, Any]) -> bytes:
    """A row as a line of JSON."""
    return json.dumps(row, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _face(face: FaceAttributes) -> Row:
    return {
        "face_id": face.face_id,
        "state": face.state.name,
        "first_seen": face.first_seen,
        "last_seen": face.last_seen,
        "box_xyxy": _numbers(face.face.box_xyxy.tolist()),
        "score": face.face.score,
        "landmarks_xy": _numbers(face.face.landmarks_xy.ravel().tolist()),
        "quality": face.quality.score,
        "quality_flags": flag_names(face),
        "sharpness": number(face.quality.sharpness),
        "brightness": number(face.quality.brightness),
        "head_rpy": _numbers(face.quality.head_rpy),
        "estimates": [_estimate(estimate) for estimate in face.estimates],
    }


def _estimate(estimate: AttributeEstimate) -> Row:
    return {
        "task": estimate.task,
        "label": estimate.label,
        "confidence": estimate.confidence,
        "labels": list(estimate.labels),
        "probabilities": list(estimate.probabilities),
        "raw_label": estimate.raw_label,
        "raw_confidence": estimate.raw_confidence,
        "value": number(estimate.value),
        "value_stddev": number(estimate.value_stddev),
        "unit": estimate.unit,
        "stable": estimate.stable,
        "since": estimate.since,
        "last_look": estimate.last_look,
        "looks": estimate.looks,
    }


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [number(value) for value in values]
