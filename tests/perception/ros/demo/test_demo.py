"""``fsb demo`` as a user runs it: processes, topics, table, report, picture, and no traces."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import psutil
import pytest

from fsb_perception.ros import environment
from fsb_perception.tasks import TASKS
from tests.bundles import random_bundle
from tests.perception.ros.harness import until


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_bundle(tmp_path_factory.mktemp("bundle")).folder


@pytest.fixture
def left_behind() -> Iterator[None]:
    """After the test, no node process of this test's ROS domain may be running."""
    yield
    assert node_processes() == []


def node_processes() -> list[psutil.Process]:
    domain = os.environ["ROS_DOMAIN_ID"]
    return [
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if any("fsb_perception.ros." in word for word in process.info["cmdline"] or ())
        and (process.info["environ"] or {}).get("ROS_DOMAIN_ID") == domain
    ]


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    variables = {k: v for k, v in os.environ.items() if k not in environment.PROFILE_VARIABLES}
    return subprocess.Popen(
        [sys.executable, "-m", "fsb_perception.cli", "demo", *words],
        cwd=folder,
        env=variables | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.usefixtures("left_behind")
def test_a_short_run_measures_reports_and_draws(bundle: Path, tmp_path: Path) -> None:
    demo = start(
        tmp_path,
        *("--seconds", "3", "--source", "sample:steady", "--no-view"),
        *("--report", "demo.json", "--bundle", str(bundle)),
    )
    text, _ = demo.communicate(timeout=100)
    assert demo.returncode == 0, text
    report = json.loads((tmp_path / "demo.json").read_text())
    frames = report["frames"]
    assert frames["processed"] > 0
    assert frames["received"] == frames["processed"] + frames["dropped"]
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p95"]
    assert report["bundle_id"].startswith("random@")
    assert len(report["faces"]) >= 3
    for face in report["faces"]:
        assert face["estimates"].keys() == TASKS.keys()
        for task, estimate in face["estimates"].items():
            assert estimate["label"] in (*TASKS[task].labels, "unknown")
            assert 0 <= estimate["confidence"] <= 1
        assert face["face_id"] in text
    assert "frames/s" in text
    assert str(tmp_path / "demo_annotated.jpg") in text
    assert cv2.imread(str(tmp_path / "demo_annotated.jpg")).shape == (480, 640, 3)


@pytest.mark.usefixtures("left_behind")
def test_ctrl_c_ends_the_demo_with_status_0(bundle: Path, tmp_path: Path) -> None:
    demo = start(tmp_path, "--bundle", str(bundle), "--no-view", "--source", "sample:steady")
    assert demo.stdout is not None
    lines: list[str] = []
    for line in demo.stdout:
        lines.append(line)
        if "frames/s" in line:  # the line stands
            break
    demo.send_signal(signal.SIGINT)
    text, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, "".join(lines) + text
    assert "Annotated picture" in text


@pytest.mark.usefixtures("left_behind")
def test_the_nodes_end_when_the_demo_is_killed(bundle: Path, tmp_path: Path) -> None:
    demo = start(tmp_path, "--bundle", str(bundle), "--no-view")
    until(lambda: len(node_processes()) == 2, what="the nodes did not start")
    demo.kill()
    demo.communicate(timeout=10)
    until(lambda: not node_processes(), what=lambda: str(node_processes()))


@pytest.mark.usefixtures("left_behind")
@pytest.mark.parametrize(
    ("words", "name", "text"),
    [
        (("--source", "97"), "camera", "no camera /dev/video97"),
        (("--bundle", "no/such/bundle"), "face_attributes", "no/such/bundle"),
    ],
)
def test_a_node_that_fails_is_named_with_its_last_log_lines(
    bundle: Path, tmp_path: Path, words: tuple[str, str], name: str, text: str
) -> None:
    demo = start(tmp_path, "--bundle", str(bundle), "--no-view", *words)
    output, _ = demo.communicate(timeout=100)
    assert demo.returncode == 1
    assert f"The demo ended: {name}: ended with status 1" in output
    assert text in output.partition("Its last log lines:")[2]
