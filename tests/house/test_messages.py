"""The messages stay as they are: recorded bags remember them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fsb_perception import msg
from fsb_perception.types import UNKNOWN, QualityFlag, TrackState
from tests.paths import ROOT

FILES = sorted((ROOT / "msg").glob("*.msg"))

FIELDS = {
    "AttributeEstimate": {
        "task": "string",
        "label": "string",
        "confidence": "float",
        "labels": "sequence<string>",
        "probabilities": "sequence<float>",
        "raw_label": "string",
        "raw_confidence": "float",
        "value": "float",
        "value_stddev": "float",
        "unit": "string",
        "stable": "boolean",
        "since": "builtin_interfaces/Time",
        "last_look": "builtin_interfaces/Time",
        "looks": "uint32",
    },
    "FaceAttributes": {
        "header": "std_msgs/Header",
        "face_id": "string",
        "state": "uint8",
        "first_seen": "builtin_interfaces/Time",
        "last_seen": "builtin_interfaces/Time",
        "box_xyxy": "float[4]",
        "score": "float",
        "landmarks_xy": "float[10]",
        "quality": "float",
        "quality_flags": "uint16",
        "sharpness": "float",
        "brightness": "float",
        "head_rpy": "float[3]",
        "position_source": "uint8",
        "position": "geometry_msgs/Point",
        "position_stddev": "float",
        "estimates": "sequence<fsb_perception/AttributeEstimate>",
    },
    "FaceAttributesArray": {
        "header": "std_msgs/Header",
        "camera": "string",
        "width": "uint32",
        "height": "uint32",
        "sequence": "uint64",
        "dropped": "uint64",
        "wait_time": "float",
        "process_time": "float",
        "bundle_id": "string",
        "faces": "sequence<fsb_perception/FaceAttributes>",
    },
    "BundleInfo": {
        "stamp": "builtin_interfaces/Time",
        "bundle_id": "string",
        "tasks": "sequence<string>",
        "manifest": "string",
    },
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields_types_and_order_are_frozen(name):
    built = getattr(msg, name).get_fields_and_field_types()
    assert list(built.items()) == list(FIELDS[name].items())


def test_constants_are_those_of_the_core():
    assert msg.AttributeEstimate.UNKNOWN == UNKNOWN
    face = msg.FaceAttributes
    assert {state.name: getattr(face, state.name) for state in TrackState} == {
        state.name: state.value for state in TrackState
    }
    assert {flag.name: getattr(face, flag.name) for flag in QualityFlag} == {
        flag.name: flag.value for flag in QualityFlag
    }
    sources = (face.POSITION_NONE, face.POSITION_SIZE_PRIOR, face.POSITION_DEPTH)
    assert sources == (0, 1, 2)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_field_says_what_it_is(path):
    """A comment stands above each field, or above the fields that it is about."""
    for paragraph in path.read_text(encoding="utf-8").split("\n\n"):
        first, *rest = paragraph.strip().splitlines()
        assert first.startswith("#"), f"{path.name}: no comment above {first!r}"
        assert len(first) > 8 or rest


def test_messages_work_from_any_folder_and_a_clean_shell(tmp_path):
    """They import and serialise with nothing in the environment but the interpreter."""
    code = (
        "from fsb_perception.msg import FaceAttributes\n"
        "from rclpy.serialization import deserialize_message, serialize_message\n"
        "face = FaceAttributes(face_id='a_1', box_xyxy=[-1.0, 2.0, 3.0, 4.0])\n"
        "assert deserialize_message(serialize_message(face), FaceAttributes) == face\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
