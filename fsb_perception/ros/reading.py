"""Messages back into the core's values, for programs that listen to the node."""

from __future__ import annotations

from typing import Any

import numpy as np

from fsb_perception.types import (
    AttributeEstimate,
    Face,
    FaceAttributes,
    Quality,
    QualityFlag,
    TrackState,
)


def to_nanoseconds(stamp: Any) -> int:
    """A ``builtin_interfaces/Time`` as whole nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def faces_of(array: Any) -> list[FaceAttributes]:
    """The faces of a ``FaceAttributesArray``."""
    return [_face(message) for message in array.faces]


def _face(message: Any) -> FaceAttributes:
    landmarks = np.array(message.landmarks_xy, np.float32).reshape(5, 2)
    return FaceAttributes(
        face_id=message.face_id,
        state=TrackState(message.state),
        first_seen=to_nanoseconds(message.first_seen),
        last_seen=to_nanoseconds(message.last_seen),
        face=Face(np.array(message.box_xyxy, np.float32), float(message.score), landmarks),
        quality=_quality(message),
        estimates=tuple(_estimate(estimate) for estimate in message.estimates),
    )


def _quality(message: Any) -> Quality:
    roll, pitch, yaw = (float(angle) for angle in message.head_rpy)
    return Quality(
        score=float(message.quality),
        flags=QualityFlag(message.quality_flags),
        sharpness=float(message.sharpness),
        brightness=float(message.brightness),
        head_rpy=(roll, pitch, yaw),
    )


def _estimate(message: Any) -> AttributeEstimate:
    return AttributeEstimate(
        task=message.task,
        labels=tuple(message.labels),
        label=message.label,
        confidence=float(message.confidence),
        probabilities=tuple(float(p) for p in message.probabilities),
        raw_label=message.raw_label,
        raw_confidence=float(message.raw_confidence),
        value=float(message.value),
        value_stddev=float(message.value_stddev),
        unit=message.unit,
        stable=bool(message.stable),
        since=to_nanoseconds(message.since),
        last_look=to_nanoseconds(message.last_look),
        looks=int(message.looks),
    )
