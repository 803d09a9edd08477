"""The core's values as messages, and back.

Every number is made a plain Python one first: a NumPy scalar in a message field aborts the process
or silently sends 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from std_msgs.msg import Header

import fsb_perception.msg as msg
from fsb_perception.bundles.bundle import Bundle
from fsb_perception.types import (
    AttributeEstimate,
    Face,
    FaceAttributes,
    Quality,
    QualityFlag,
    TrackState,
)

_SECOND = 1_000_000_000  # ns
_LAST_SECOND = 2**31 - 1  # of a Time: in the year 2038


def to_time(nanoseconds: int) -> Time:
    """A stamp as ``builtin_interfaces/Time``; 0 stays 0, for never.

    Raises:
        ValueError: a stamp below 0 or after 2038-01-19, which the message cannot hold.
    """
    sec, nanosec = divmod(int(nanoseconds), _SECOND)
    if not 0 <= sec <= _LAST_SECOND:
        raise ValueError(f"a stamp must be 0 to {_LAST_SECOND} s, got {nanoseconds} ns")
    return Time(sec=sec, nanosec=nanosec)


def array_to_msg(
    faces: Sequence[FaceAttributes],
    header: Header,
    *,
    camera: str,
    width: int,
    height: int,
    sequence: int,
    dropped: int,
    wait_time: float,
    process_time: float,
    bundle_id: str,
) -> msg.FaceAttributesArray:
    """One processed image as a message; the fields are described in ``FaceAttributesArray.msg``.

    Args:
        faces: empty when none is followed.
        header: the image's, unchanged; it is shared with every face.
        camera: its name; empty for the one unnamed camera.
        width: of the image in pixels.
        height: of the image in pixels.
        sequence: images processed since activation, this one included.
        dropped: images received since activation and not processed.
        wait_time: from arrival to the start of processing, in seconds.
        process_time: from there to this message, in seconds.
        bundle_id: of the bundle that read the faces.
    """
    return msg.FaceAttributesArray(
        header=header,
        camera=camera,
        width=int(width),
        height=int(height),
        sequence=int(sequence),
        dropped=int(dropped),
        wait_time=float(wait_time),
        process_time=float(process_time),
        bundle_id=bundle_id,
        faces=[attributes_to_msg(face, header) for face in faces],
    )


def attributes_to_msg(attributes: FaceAttributes, header: Header) -> msg.FaceAttributes:
    """One followed face as a message. Its position in space is not known here: NONE and NaN."""
    return msg.FaceAttributes(
        header=header,
        face_id=attributes.face_id,
        state=int(attributes.state),
        first_seen=to_time(attributes.first_seen),
        last_seen=to_time(attributes.last_seen),
        box_xyxy=attributes.face.box_xyxy.tolist(),
        score=float(attributes.face.score),
        landmarks_xy=attributes.face.landmarks_xy.ravel().tolist(),
        **_quality_fields(attributes.quality),
        position_source=msg.FaceAttributes.POSITION_NONE,
        position=Point(x=math.nan, y=math.nan, z=math.nan),
        position_stddev=math.nan,
        estimates=[_estimate(estimate) for estimate in attributes.estimates],
    )


def _quality_fields(quality: Quality) -> dict[str, object]:
    return {
        "quality": float(quality.score),
        "quality_flags": int(quality.flags),
        "sharpness": float(quality.sharpness),
        "brightness": float(quality.brightness),
        "head_rpy": [float(angle) for angle in quality.head_rpy],
    }


def _estimate(estimate: AttributeEstimate) -> msg.AttributeEstimate:
    return msg.AttributeEstimate(
        task=estimate.task,
        label=estimate.label,
        confidence=float(estimate.confidence),
        labels=list(estimate.labels),
        probabilities=[float(probability) for probability in estimate.probabilities],
        raw_label=estimate.raw_label,
        raw_confidence=float(estimate.raw_confidence),
        value=float(estimate.value),
        value_stddev=float(estimate.value_stddev),
        unit=estimate.unit,
        stable=bool(estimate.stable),
        since=to_time(estimate.since),
        last_look=to_time(estimate.last_look),
        looks=int(estimate.looks),
    )


def bundle_to_msg(bundle: Bundle, stamp: int, tasks: Sequence[str] = ()) -> msg.BundleInfo:
    """The bundle in use as a message.

    Args:
        bundle: as loaded.
        stamp: when it was loaded, in nanoseconds of the node's clock.
        tasks: names of those that are switched on; empty for all that the bundle has.
    """
    names = [task.name for task in bundle.tasks]
    return msg.BundleInfo(
        stamp=to_time(stamp),
        bundle_id=bundle.bundle_id,
        tasks=[name for name in names if not tasks or name in tasks],
        manifest=bundle.manifest.to_json(),
    )


def to_nanoseconds(stamp: Any) -> int:
    """A ``builtin_interfaces/Time`` as whole nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def faces_of(array: Any) -> list[FaceAttributes]:
    """The faces of a ``FaceAttributesArray``."""
    return [_face_of(message) for message in array.faces]


def _face_of(message: Any) -> FaceAttributes:
    landmarks = np.array(message.landmarks_xy, np.float32).reshape(5, 2)
    return FaceAttributes(
        face_id=message.face_id,
        state=TrackState(message.state),
        first_seen=to_nanoseconds(message.first_seen),
        last_seen=to_nanoseconds(message.last_seen),
        face=Face(np.array(message.box_xyxy, np.float32), float(message.score), landmarks),
        quality=_quality_of(message),
        estimates=tuple(_estimate_of(estimate) for estimate in message.estimates),
    )


def _quality_of(message: Any) -> Quality:
    roll, pitch, yaw = (float(angle) for angle in message.head_rpy)
    return Quality(
        score=float(message.quality),
        flags=QualityFlag(message.quality_flags),
        sharpness=float(message.sharpness),
        brightness=float(message.brightness),
        head_rpy=(roll, pitch, yaw),
    )


def _estimate_of(message: Any) -> AttributeEstimate:
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
