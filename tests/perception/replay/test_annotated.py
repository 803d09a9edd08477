"""The annotated bag: rosbags and ROS itself read in it what the rows hold."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from typer.testing import CliRunner

from fsb_perception import msg
from fsb_perception.cli import app
from fsb_perception.replay.annotated import PLAIN, RIGHT, WRONG, known_of, write_annotated
from fsb_perception.replay.bags.reader import Bag, choose_topics
from fsb_perception.replay.scoring.matching import Match
from fsb_perception.types import TrackState
from tests.perception.replay import made_bags
from tests.perception.replay.made_answers import face, row
from tests.perception.replay.made_bags import stamps


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotated")
    for command in (
        ["make-sample", str(folder), "--seconds", "0.2"],
        ["run", str(folder / "bag"), "--out", str(folder / "out"), "--mcap"],
    ):
        result = CliRunner().invoke(app, ["replay", *command])
        assert result.exit_code == 0, result.output
    return folder / "out" / "bag"


def messages(bag: Path, ending: str) -> list[tuple[str, Any, bytes]]:
    with AnyReader([bag]) as reader:
        wanted = [c for c in reader.connections if c.topic.endswith(ending)]
        return [
            (c.topic, reader.deserialize(data, c.msgtype), data)
            for c, _, data in reader.messages(wanted)
        ]


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def same(value: float, expected: float | None) -> bool:
    return math.isnan(value) if expected is None else value == pytest.approx(expected, rel=1e-6)


def assert_agrees(message: Any, row: dict) -> None:
    """Compare a FaceAttributesArray, of ROS or of rosbags, with the row of its image."""
    assert (message.camera, message.width, message.height) == (row["camera"], 640, 480)
    assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == row["stamp"]
    assert len(message.faces) == len(row["faces"])
    for one, other in zip(message.faces, row["faces"], strict=True):
        assert one.face_id == other["face_id"]
        assert TrackState(one.state).name == other["state"]
        np.testing.assert_allclose(one.box_xyxy, other["box_xyxy"], rtol=1e-6)
        assert same(one.sharpness, other["sharpness"])
        for estimate, expected in zip(one.estimates, other["estimates"], strict=True):
            for name in ("task", "label", "raw_label", "unit", "looks", "stable"):
                assert getattr(estimate, name) == expected[name]
            assert list(estimate.labels) == expected["labels"]
            np.testing.assert_allclose(estimate.probabilities, expected["probabilities"], rtol=1e-6)
            assert same(estimate.value, expected["value"])


def test_rosbags_reads_the_rows(replayed: Path) -> None:
    written = messages(replayed / "annotated", "/faces")
    assert len(written) == len(rows(replayed)) == 12
    for (topic, message, _), expected in zip(written, rows(replayed), strict=True):
        assert topic == f"/{expected['camera']}/faces"
        assert_agrees(message, expected)


def test_ros_reads_the_same(replayed: Path) -> None:
    """Check that definitions and byte layout are those of the generated messages."""
    written = messages(replayed / "annotated", "/faces")
    for (_, _, data), expected in zip(written, rows(replayed), strict=True):
        assert_agrees(deserialize_message(data, msg.FaceAttributesArray), expected)


def test_images_are_those_of_the_recording(replayed: Path) -> None:
    copied = messages(replayed / "annotated", "compressed")
    recorded = messages(replayed.parents[1] / "bag", "compressed")
    assert len(copied) == len(recorded)
    for (topic, one, _), (other_topic, other, _) in zip(copied, recorded, strict=True):
        assert topic == other_topic
        assert np.array_equal(one.data, other.data)


def test_a_box_and_words_are_drawn_for_every_face(replayed: Path) -> None:
    written = messages(replayed / "annotated", "/annotations")
    for (_, message, _), expected in zip(written, rows(replayed), strict=True):
        assert len(message.points) == len(message.texts) == len(expected["faces"])
        for box, words, one in zip(message.points, message.texts, expected["faces"], strict=True):
            left, top, right, bottom = one["box_xyxy"]
            corners = [(point.x, point.y) for point in box.points]
            assert corners == [(left, top), (right, top), (right, bottom), (left, bottom)]
            assert words.text.startswith(one["face_id"])


def test_the_bag_of_other_answers_does_not_stay(tmp_path: Path) -> None:
    bag = made_bags.write(tmp_path / "bag", {"/front/image": stamps(2)})
    command = ["replay", "run", str(bag), "--out", str(tmp_path / "o")]
    for more, stays in (["--mcap"], True), ([], True), (["--set", "tracker.max_coast=0.5"], False):
        assert CliRunner().invoke(app, [*command, *more]).exit_code == 0
        assert (tmp_path / "o/bag/annotated").exists() is stays


@pytest.mark.parametrize(
    ("label", "true", "colour"),
    [
        ("female", {"gender": "female"}, RIGHT),
        ("male", {"gender": "female"}, WRONG),
        ("unknown", {"gender": "female"}, PLAIN),
        ("female", {}, PLAIN),
    ],
)
def test_colours_tell_right_from_wrong(label, true, colour, tmp_path: Path) -> None:
    (stamp,) = stamps(1)
    bag = Bag(made_bags.write(tmp_path / "bag", {"/front/image": [stamp]}))
    blank = {"raw_confidence": 0.9, "probabilities": [], "value": None, "value_stddev": None}
    one = face("a", stamp, label, **blank, unit="", since=0, looks=1) | {
        "landmarks_xy": [None] * 10, "score": 0.9, "quality": 1.0, "quality_flags": [],
        "sharpness": None,
    }  # fmt: skip
    known = known_of([Match("front", stamp, one, "ada", true)])
    write_annotated(tmp_path / "out", bag, choose_topics(bag), [row(stamp, one)], "nano@0", known)
    ((_, message, _),) = messages(tmp_path / "out", "/annotations")
    drawn = message.points[0].outline_color
    assert (drawn.r, drawn.g, drawn.b, drawn.a) == colour
