"""A recording through the running node: every image answered, and the answers of offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fsb_perception.cli import app
from fsb_perception.config import PerceptionConfig
from fsb_perception.options import build
from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.bags.topics import COMPRESSED, RAW, ImageTopic
from fsb_perception.replay.sample.bag import make_sample
from fsb_perception.ros.playing.node import node_parameters
from tests.perception.replay import made_bags
from tests.perception.replay.made_bags import stamps

pytestmark = pytest.mark.timeout(280)
# No graph is traced, and no speed measured.
QUICK = ("--set", "engine.threads=1")


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of three bags that one process has played to nodes.

    It is a process of its own: ROS reads its variables only once.
    """
    folder = tmp_path_factory.mktemp("played")
    make_sample(folder / "sample", seconds=0.2)
    other = made_bags.write(folder / "other", {"/image": stamps(2)}, made_bags.RAW)
    broken = made_bags.write(folder / "broken", {"/image": stamps(3)}, storage="sqlite3")
    path = made_bags.file_of(broken)
    path.write_bytes(path.read_bytes().replace(b"\xff\xd8\xff\xe0", b"\x00\x00\x00\x00", 1))
    bags = [str(bag) for bag in (folder / "sample/bag", other, broken)]
    command = [sys.executable, "-m", "fsb_perception.cli", "replay", "run", *bags, *QUICK]
    command += ["--out", str(folder / "out"), "--mode", "lockstep"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=230, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.long
def test_lockstep_answers_every_image_as_offline_does(played: Path) -> None:
    command = [
        "replay",
        "run",
        str(played / "sample/bag"),
        "--out",
        str(played / "offline"),
        *QUICK,
    ]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    offline, lockstep = (rows(played / mode / "bag") for mode in ("offline", "out"))
    assert len(lockstep) == 12
    for one, other in zip(offline, lockstep, strict=True):
        assert (one["camera"], one["stamp"]) == (other["camera"], other["stamp"])
        assert len(one["faces"]) == len(other["faces"]) > 0
        for face, again in zip(one["faces"], other["faces"], strict=True):
            assert (face["face_id"], face["state"]) == (again["face_id"], again["state"])
            labels = [e["label"] for e in face["estimates"]]
            assert labels == [e["label"] for e in again["estimates"]]
    summary = json.loads((played / "out/bag/summary.json").read_text())
    assert summary["mode"] == "lockstep"
    assert summary["problems"] == {}
    assert summary["timing"]["wait"]["p50_ms"] >= summary["timing"]["process"]["p50_ms"]


@pytest.mark.long
def test_an_image_that_cannot_be_decoded_is_not_waited_for(played: Path) -> None:
    assert [row["faces"] for row in rows(played / "out/other")] == [[], []]
    assert ["error" in row for row in rows(played / "out/broken")] == [False, False, True]


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
