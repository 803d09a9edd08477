"""Camera, node and a subscriber as processes of their own, and how the node process ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fsb_perception.ros import environment
from fsb_perception.ros.launching.graph import NodeSpec
from fsb_perception.ros.launching.processes import NodeProcess, NodeProcesses
from fsb_perception.tasks import TASKS
from tests.bundles import QUICK_ENGINE, random_bundle
from tests.perception.ros.harness import ends, until

# All that a behaviour node needs: rclpy and the messages.
SUBSCRIBER = """
import json, sys
import rclpy
from fsb_perception.msg import FaceAttributesArray

rclpy.init()
node = rclpy.create_node("behaviour")
arrays = []
node.create_subscription(FaceAttributesArray, "/three/face_attributes/faces", arrays.append, 10)
while len([a for a in arrays if len(a.faces) == 3]) < 10:
    rclpy.spin_once(node, timeout_sec=0.5)
print(json.dumps({
    "modules": [m for m in ("torch", "cv2", "fsb_perception.pipeline") if m in sys.modules],
    "sequence": [a.sequence for a in arrays],
    "stamps": [a.header.stamp.sec * 10**9 + a.header.stamp.nanosec for a in arrays],
    "size": [arrays[-1].width, arrays[-1].height],
    "frame_ids": sorted({a.header.frame_id for a in arrays}),
    "bundle_id": arrays[-1].bundle_id,
    "faces": [
        {"id": f.face_id, "estimates": {e.task: [e.raw_label, sum(e.probabilities)]
                                        for e in f.estimates}}
        for f in arrays[-1].faces
    ],
}))
node.destroy_node()
rclpy.try_shutdown()
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(random_bundle(tmp_path_factory.mktemp("bundle")).folder)


def node(bundle: str) -> NodeSpec:
    return NodeSpec(
        "face_attributes",
        "fsb_perception.ros.node",
        namespace="three",
        parameters={"bundle": bundle, **QUICK_ENGINE},
    )


def environ() -> dict[str, str]:
    return environment.children(os.environ)[0]


def test_attributes_cross_three_processes(bundle: str) -> None:
    camera = NodeSpec(
        "camera",
        "fsb_perception.ros.camera",
        namespace="three",
        parameters={"source": "sample:steady", "fps": 15.0, "frame_id": "eye"},
    )
    with NodeProcesses([camera, node(bundle)], environ()) as processes:
        try:
            subscriber = subprocess.run(
                [sys.executable, "-c", SUBSCRIBER],
                env=environ(),
                capture_output=True,
                text=True,
                timeout=200,
                check=True,
            )
        except subprocess.SubprocessError as error:
            words = [processes[name].last_lines(12) for name in ("camera", "face_attributes")]
            pytest.fail(f"{error}\n{getattr(error, 'stderr', '')}\n{words}")
        process = processes["face_attributes"]
        process.send(signal.SIGTERM)
        assert process.wait_until(time.monotonic() + 60), process.last_lines(20)
        assert process.status == 0, process.last_lines(20)
        assert "Traceback" not in "\n".join(process.last_lines(50))
    received = json.loads(subscriber.stdout)
    assert received["modules"] == []
    assert received["frame_ids"] == ["eye"]
    assert received["size"] == [640, 480]
    assert received["stamps"] == sorted(set(received["stamps"]))
    first = received["sequence"][0]
    assert received["sequence"] == [*range(first, first + len(received["sequence"]))]
    assert received["bundle_id"].startswith("random@")
    assert len({face["id"] for face in received["faces"]}) == 3
    for face in received["faces"]:
        assert face["estimates"].keys() == TASKS.keys()
        for task, (label, total) in face["estimates"].items():
            assert label in TASKS[task].labels
            assert total == pytest.approx(1.0, abs=1e-4)


def has_logged(process: NodeProcess, text: str) -> Any:
    return lambda: text in "\n".join(process.last_lines(50))


def test_ctrl_c_twice_as_under_launch_ends_the_node_with_status_0(bundle: str) -> None:
    with NodeProcesses([node(bundle)], environ()) as processes:
        process = processes["face_attributes"]
        until(has_logged(process, "active:"), 100, lambda: process.last_lines(20))
        process.send(signal.SIGINT)
        time.sleep(0.05)
        process.send(signal.SIGINT)
        assert process.wait_until(time.monotonic() + 60), process.last_lines(20)
        assert process.status == 0, process.last_lines(20)
        assert "Traceback" not in "\n".join(process.last_lines(50))


def test_a_signal_ends_a_starting_node_with_status_0(bundle: str) -> None:
    with NodeProcesses([node(bundle)], environ()) as processes:
        process = processes["face_attributes"]
        until(has_logged(process, "loading bundle"), 100, lambda: process.last_lines(20))
        process.send(signal.SIGTERM)
        assert process.wait_until(time.monotonic() + 60), process.last_lines(20)
        assert process.status == 0, process.last_lines(20)
        assert "Traceback" not in "\n".join(process.last_lines(50))


REASONS = {
    "no/such.yaml": ("--params-file", "no/such.yaml"),
    "unknown bundle 'nanoo'": ("-p", "bundle:=nanoo"),
    "Did you mean 'tracker.max_coast'": ("-p", "trakcer.max_coast:=1.0"),
}


def test_the_log_tells_why_the_node_cannot_start(tmp_path: Path) -> None:
    results = ends("fsb_perception.ros.node", list(REASONS.values()), tmp_path)
    for reason, (log, status) in zip(REASONS, results, strict=True):
        assert status == 1, log
        assert reason in log
        assert "Traceback" not in log
