"""Faces become messages and come back the same, whatever numbers they were made of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fsb_perception.msg import AttributeEstimate as EstimateMessage
from fsb_perception.msg import BundleInfo, FaceAttributesArray
from fsb_perception.msg import FaceAttributes as FaceMessage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from fsb_perception.ros.messages import (
    array_to_msg,
    attributes_to_msg,
    bundle_to_msg,
    faces_of,
    to_nanoseconds,
    to_time,
)
from fsb_perception.types import (
    UNKNOWN,
    AttributeEstimate,
    Face,
    FaceAttributes,
    Quality,
    QualityFlag,
    TrackState,
)
from tests.bundles import random_bundle
from tests.perception.any_faces import LAST, assert_same, followed_faces, stamps

MIDDAY = 1_700_000_000_123_456_789


def array_of(*faces: FaceAttributes, **fields: object) -> FaceAttributesArray:
    values = {
        "camera": "door",
        "width": 640,
        "height": 480,
        "sequence": 7,
        "dropped": 2,
        "wait_time": 0.25,
        "process_time": 0.5,
        "bundle_id": "nano@0123456789ab",
    }
    header = Header(stamp=to_time(MIDDAY), frame_id="camera")
    return array_to_msg(faces, header, **(values | fields))  # type: ignore[arg-type]


def over_the_wire(message: FaceAttributesArray) -> FaceAttributesArray:
    return deserialize_message(serialize_message(message), type(message))


def face(**fields: object) -> FaceAttributes:
    values = {
        "face_id": "a1",
        "state": TrackState.CONFIRMED,
        "first_seen": MIDDAY - 5,
        "last_seen": MIDDAY,
        "face": Face(np.array([-4.5, 3, 60, 80], np.float32), 0.75),
    }
    return FaceAttributes(**(values | fields))  # type: ignore[arg-type]


@given(st.lists(followed_faces(), max_size=2))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_faces_come_back_the_same(faces: list[FaceAttributes]) -> None:
    received = faces_of(over_the_wire(array_of(*faces)))
    assert len(received) == len(faces)
    for sent, got in zip(faces, received, strict=True):
        assert_same(sent, got)


@given(stamps)
def test_stamps_come_back_to_the_nanosecond(stamp: int) -> None:
    assert to_nanoseconds(to_time(stamp)) == stamp


def test_never_is_zero() -> None:
    assert (to_time(0).sec, to_time(0).nanosec) == (0, 0)


@pytest.mark.parametrize("stamp", [-1, -MIDDAY, LAST + 1])
def test_a_stamp_that_a_message_cannot_hold_is_refused(stamp: int) -> None:
    with pytest.raises(ValueError, match=f"a stamp must be .* got {stamp} ns"):
        to_time(stamp)


# np.float64 is a float and np.bool_ prints as a bool, but a message field takes neither well.
NUMPY = AttributeEstimate(
    task="age",
    labels=("young", "old"),
    label="old",
    confidence=np.float32(0.5),  # type: ignore[arg-type]
    probabilities=tuple(np.array([0.25, 0.75], np.float32)),
    raw_label="old",
    raw_confidence=np.float64(0.75),
    value=np.float32(40),  # type: ignore[arg-type]
    value_stddev=3,
    unit="year",
    stable=np.bool_(True),  # type: ignore[arg-type]
    since=np.int64(MIDDAY),  # type: ignore[arg-type]
    last_look=np.int64(MIDDAY),  # type: ignore[arg-type]
    looks=np.int64(3),  # type: ignore[arg-type]
)


def test_numpy_scalars_become_plain_numbers() -> None:
    quality = Quality(
        np.float32(0.5),  # type: ignore[arg-type]
        QualityFlag.SMALL | QualityFlag.DARK,
        np.float32(9),  # type: ignore[arg-type]
        1,
        tuple(np.zeros(3, np.float32)),  # type: ignore[arg-type]
    )
    detected = Face(np.array([1, 2, 3, 4]), np.float32(0.5))  # type: ignore[arg-type]
    sent = face(first_seen=np.int64(MIDDAY), face=detected, quality=quality, estimates=(NUMPY,))
    array = array_of(
        sent,
        width=np.int32(640),
        sequence=np.uint64(7),
        dropped=np.int64(2),
        wait_time=np.float32(0.25),
        process_time=1,
    )
    received = over_the_wire(array)
    assert (received.width, received.sequence, received.dropped) == (640, 7, 2)
    assert (received.wait_time, received.process_time) == (0.25, 1.0)
    (message,) = received.faces
    assert (message.quality, message.quality_flags, message.sharpness) == (0.5, 17, 9.0)
    (estimate,) = message.estimates
    assert list(estimate.probabilities) == [0.25, 0.75]
    assert (estimate.confidence, estimate.value, estimate.value_stddev) == (0.5, 40.0, 3.0)
    assert (estimate.stable, estimate.looks) == (True, 3)
    assert to_nanoseconds(estimate.since) == MIDDAY


def test_what_is_not_known_is_nan_none_or_empty() -> None:
    message = attributes_to_msg(
        face(estimates=(AttributeEstimate("emotion", ("happy", "sad")),)), Header()
    )
    assert message.position_source == FaceMessage.POSITION_NONE
    position = message.position
    unknown = [position.x, position.y, position.z, message.position_stddev, *message.head_rpy]
    unknown += [*message.landmarks_xy, message.sharpness, message.brightness]
    (estimate,) = message.estimates
    assert np.isnan([*unknown, estimate.value, estimate.value_stddev]).all()
    assert (estimate.label, estimate.raw_label) == (EstimateMessage.UNKNOWN,) * 2
    assert (estimate.confidence, len(estimate.probabilities), estimate.looks) == (0.0, 0, 0)
    assert to_nanoseconds(estimate.last_look) == 0


def test_the_header_of_the_image_goes_through() -> None:
    array = over_the_wire(array_of(face(), face(face_id="a2")))
    for header in (array.header, *(message.header for message in array.faces)):
        assert (to_nanoseconds(header.stamp), header.frame_id) == (MIDDAY, "camera")


def test_a_frame_without_faces_is_a_message_all_the_same() -> None:
    array = over_the_wire(array_of(camera=""))
    assert (array.faces, array.camera, array.height) == ([], "", 480)
    assert array.bundle_id == "nano@0123456789ab"


@pytest.mark.parametrize("state", TrackState)
def test_states_have_the_numbers_of_the_message(state: TrackState) -> None:
    assert getattr(FaceMessage, state.name) == state


@pytest.mark.parametrize("flag", QualityFlag)
def test_flags_have_the_bits_of_the_message(flag: QualityFlag) -> None:
    assert flag.name is not None
    assert getattr(FaceMessage, flag.name) == flag


def test_unknown_is_one_word() -> None:
    assert EstimateMessage.UNKNOWN == UNKNOWN


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [((), ["gender", "age_group", "emotion"]), (("emotion", "gender"), ["gender", "emotion"])],
    ids=["all", "some"],
)
def test_a_bundle_tells_what_it_is(
    tmp_path: Path, tasks: tuple[str, ...], expected: list[str]
) -> None:
    bundle = random_bundle(tmp_path)
    message: BundleInfo = over_the_wire(bundle_to_msg(bundle, MIDDAY, tasks))
    assert to_nanoseconds(message.stamp) == MIDDAY
    assert message.bundle_id == bundle.bundle_id
    assert message.tasks == expected
    assert json.loads(message.manifest) == json.loads(bundle.manifest.to_json())
