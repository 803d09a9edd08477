"""A recording through the running node: every image answered, and the answers of offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fsb_perception.config import PerceptionConfig
from fsb_perception.options import build
from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.bags.topics import COMPRESSED, RAW, ImageTopic
from fsb_perception.ros.playing.node import node_parameters
from tests.perception.replay import made_bags
from tests.perception.replay.made_bags import stamps

pytestmark = pytest.mark.timeout(240)


def fsb(*arguments: object) -> str:
    """Run ``fsb replay`` in a process of its own: ROS reads its variables only once."""
    command = [sys.executable, "-m", "fsb_perception.cli", "replay", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


@pytest.mark.long
def test_lockstep_answers_every_image_as_offline_does(tmp_path: Path) -> None:
    fsb("make-sample", tmp_path, "--seconds", 0.3)
    for mode in ("offline", "lockstep"):
        fsb("run", tmp_path / "bag", "--out", tmp_path / mode, "--mode", mode)
    offline, lockstep = (rows(tmp_path / mode / "bag") for mode in ("offline", "lockstep"))
    assert len(lockstep) == 18
    for one, other in zip(offline, lockstep, strict=True):
        assert (one["camera"], one["stamp"]) == (other["camera"], other["stamp"])
        assert len(one["faces"]) == len(other["faces"]) > 0
        for face, again in zip(one["faces"], other["faces"], strict=True):
            assert (face["face_id"], face["state"]) == (again["face_id"], again["state"])
            labels = [e["label"] for e in face["estimates"]]
            assert labels == [e["label"] for e in again["estimates"]]
    summary = json.loads((tmp_path / "lockstep/bag/summary.json").read_text())
    assert summary["mode"] == "lockstep"
    assert summary["problems"] == {}
    assert summary["timing"]["wait"]["p50_ms"] >= summary["timing"]["process"]["p50_ms"]


def test_an_image_that_cannot_be_decoded_is_not_waited_for(
    tmp_path: Path,
) -> None:
    other = made_bags.write(tmp_path / "other", {"/image": stamps(2)}, made_bags.RAW)
    bag = made_bags.write(tmp_path / "bag", {"/image": stamps(3)})
    path = made_bags.file_of(bag)
    path.write_bytes(path.read_bytes().replace(b"\xff\xd8\xff\xe0", b"\x00\x00\x00\x00", 1))
    fsb("run", other, bag, "--out", tmp_path / "o", "--mode", "lockstep")
    assert [row["faces"] for row in rows(tmp_path / "o/other")] == [[], []]
    assert ["error" in row for row in rows(tmp_path / "o/bag")] == [True, False, False]


FRONT, SIDE = ImageTopic("/front/image", RAW), ImageTopic("/side/image", RAW)


def test_the_node_gets_the_parameters_that_differ_from_defaults() -> None:
    config = build(PerceptionConfig, {"tracker.max_coast": 0.5, "tasks": ("gender",)})
    assert node_parameters(config, [FRONT, SIDE]) == {
        "tracker.max_coast": 0.5,
        "tasks": ["gender"],
        "cameras": ["front", "side"],
        "image_transport": "raw",
        "image_reliability": "reliable",
        "id_prefix": "face",
    }
    single = node_parameters(PerceptionConfig(), [ImageTopic("/image/compressed", COMPRESSED)])
    assert "cameras" not in single
    assert single["image_transport"] == "compressed"


@pytest.mark.parametrize(
    ("topics", "why"),
    [
        ([FRONT, ImageTopic("/image", RAW)], "cannot be one of several"),
        ([FRONT, ImageTopic("/side/image/compressed", COMPRESSED)], "cannot be mixed"),
    ],
)
def test_topics_that_one_node_cannot_take_are_refused(topics: list[ImageTopic], why: str) -> None:
    with pytest.raises(BagError, match=why):
        node_parameters(PerceptionConfig(), topics)
