"""Faces as JSON, for ``fsb image --json``."""

from __future__ import annotations

import math
from typing import Any

from fsb_perception.types import AttributeEstimate, FaceAttributes


def flag_names(face: FaceAttributes) -> list[str]:
    """Names of the quality flags that are set."""
    flags = face.quality.flags
    return [str(flag.name) for flag in type(flags) if flag in flags]


def face_as_json(face: FaceAttributes) -> dict[str, Any]:
    """All that is known of a face, as plain lists, numbers and texts; null where it is NaN."""
    return {
        "face_id": face.face_id,
        "box_xyxy": face.face.box_xyxy.tolist(),
        "score": face.face.score,
        "landmarks_xy": [[number(v) for v in point] for point in face.face.landmarks_xy.tolist()],
        "quality": face.quality.score,
        "quality_flags": flag_names(face),
        "sharpness": number(face.quality.sharpness),
        "brightness": number(face.quality.brightness),
        "head_rpy": [number(angle) for angle in face.quality.head_rpy],
        "estimates": {estimate.task: _estimate_as_json(estimate) for estimate in face.estimates},
    }


def _estimate_as_json(estimate: AttributeEstimate) -> dict[str, Any]:
    return {
        "label": estimate.label,
        "confidence": estimate.confidence,
        "probabilities": dict(zip(estimate.labels, estimate.probabilities, strict=False)),
        "value": number(estimate.value),
        "value_stddev": number(estimate.value_stddev),
        "unit": estimate.unit,
    }


def number(value: float) -> float | None:
    """A number as JSON can have it: None for NaN."""
    return value if math.isfinite(value) else None
