"""A recording played to the running node in real time: the clock, and the count of drops."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from rosgraph_msgs.msg import Clock
from typer.testing import CliRunner

from fsb_perception.commands.replay import app
from fsb_perception.options import OptionError
from fsb_perception.ros.messages import to_nanoseconds
from tests.perception.replay import made_bags
from tests.perception.replay.made_bags import FRAME, stamps
from tests.perception.ros.harness import spinning_node, until

pytestmark = pytest.mark.timeout(280)
START_LIMIT = 120.0  # s
CAMERAS = ("/front/image", "/side/image")
# No graph is traced, and no speed measured.
QUICK = ("--set", "engine.threads=1")


@contextmanager
def replaying(bag: Path, out: Path, *more: object) -> Iterator[subprocess.Popen[str]]:
    """``fsb replay run`` in real time, in a process of its own."""
    command = [sys.executable, "-m", "fsb_perception.cli", "replay", "run", str(bag)]
    command += ["--mode", "realtime", "--out", str(out), *map(str, more)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def finished(process: subprocess.Popen[str], status: int = 0) -> str:
    output, _ = process.communicate(timeout=START_LIMIT)
    assert process.returncode == status, output
    return output


def read(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    return rows, json.loads((folder / "summary.json").read_text())


@pytest.mark.long
def test_a_slow_play_is_answered_whole_and_a_held_up_node_is_said_to_drop(tmp_path: Path) -> None:
    """Play two bags, one after the other, and hold up the node of the second."""
    slow = made_bags.write(tmp_path / "in/slow", dict.fromkeys(CAMERAS, stamps(20)))
    held = made_bags.write(tmp_path / "in/held", {"/front/image": stamps(60)})
    (tmp_path / "c.yaml").write_text("- play.drop_rate < 0.01\n- load.cpu_mean < 0\n")
    times: list[int] = []
    with spinning_node("listener") as node:
        node.create_subscription(
            Clock, "/clock", lambda m: times.append(to_nanoseconds(m.clock)), 5
        )
        more = (held, "--rate", 0.25, "--criteria", tmp_path / "c.yaml", *QUICK)
        with replaying(slow, tmp_path, *more) as process:
            until((tmp_path / "slow/summary.json").is_file, START_LIMIT, "no first play")
            of_slow = times.copy()
            until(lambda: len(times) > len(of_slow) + 30, START_LIMIT, "no second play")
            suspended = face_attributes(process.pid)
            suspended.suspend()
            begun = times[-1]
            until(lambda: times[-1] > begun + 15 * FRAME, START_LIMIT, "the play stands still")
            suspended.resume()
            output = finished(process, status=1)
    rows, summary = read(tmp_path / "slow")
    assert [row["stamp"] for row in rows] == [s for s in stamps(20) for _ in range(2)]
    assert summary["mode"] == "realtime x 0.25"
    play = summary["play"]
    assert (play["published"], play["kept_pace"]) == (40, True)
    assert play["dropped"] == summary["dropped"] == sum("dropped" in row for row in rows) <= 20
    assert summary["timing"]["wait"]["p50_ms"] > 0
    # The clock is that of the recording: it never goes back, and runs from its start to its end.
    assert of_slow == sorted(of_slow)
    assert of_slow[0] < stamps(1)[0] + 10 * FRAME
    assert of_slow[-1] == stamps(20)[-1]
    assert len(of_slow) > 50
    assert [c["met"] for c in summary["criteria"]][1] is False
    assert "Not met: load.cpu_mean < 0" in output

    rows, summary = read(tmp_path / "held")
    dropped = [row for row in rows if "dropped" in row]
    assert len(rows) == summary["play"]["published"] == 60
    assert 10 <= len(dropped) == summary["play"]["dropped"] < 50
    assert summary["play"]["answered"] == 60 - len(dropped)
    assert f"{len(dropped)} of 60 images dropped" in output


def face_attributes(parent: int) -> psutil.Process:
    """Return the process of the node that a replay has started."""
    children = psutil.Process(parent).children(recursive=True)
    return next(c for c in children if "fsb_perception.ros.node" in c.cmdline())


@pytest.mark.long
def test_the_highest_rate_is_searched(tmp_path: Path) -> None:
    bag = made_bags.write(tmp_path / "bag", {"/front/image": stamps(20)}, storage="sqlite3")
    path = made_bags.file_of(bag)
    path.write_bytes(path.read_bytes().replace(b"\xff\xd8\xff\xe0", b"\x00\x00\x00\x00", 1))
    with replaying(bag, tmp_path, "--rate", "search", *QUICK) as process:
        finished(process)
    rows, summary = read(tmp_path / "bag")
    play = summary["play"]
    assert len(play["trials"]) >= 2
    held = [t["rate"] for t in play["trials"] if t["kept_pace"] and t["drop_rate"] < 0.01]
    assert play["highest_rate"] == max(held, default=0)
    assert ["error" in row for row in rows].count(
        True
    ) == 1  # one that cannot be decoded is no drop
    assert summary["failed"] == 1


@pytest.mark.parametrize("rate", ["0", "-1", "fast", "nan", "1000"])
def test_a_rate_that_cannot_be_played_is_refused(rate: str, tmp_path: Path) -> None:
    bag = made_bags.write(tmp_path / "bag", {"/front/image": stamps(1)})
    command = ["run", str(bag), "--mode", "realtime", "--rate", rate, "--out", str(tmp_path)]
    with pytest.raises(OptionError, match=f"rate: got '{rate}'"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_a_rate_is_of_real_time_alone(tmp_path: Path) -> None:
    bag = made_bags.write(tmp_path / "bag", {"/front/image": stamps(1)})
    with pytest.raises(OptionError, match="--rate: got --mode offline, which has no rate"):
        CliRunner().invoke(app, ["run", str(bag), "--rate", "2"], catch_exceptions=False)


def test_recordings_are_not_played_at_once(tmp_path: Path) -> None:
    bag = made_bags.write(tmp_path / "bag", {"/front/image": stamps(1)})
    command = ["run", str(bag), "--mode", "realtime", "--jobs", "2"]
    with pytest.raises(OptionError, match="slow each other down"):
        CliRunner().invoke(app, command, catch_exceptions=False)
