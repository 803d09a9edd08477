"""The example runs as a user runs it, and receives published messages."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fsb_perception.msg import AttributeEstimate, FaceAttributes, FaceAttributesArray

from fsb_perception.ros import environment
from tests.paths import ROOT
from tests.perception.ros.harness import spinning_node, until

EXAMPLE = ROOT / "examples" / "greeter.py"
TOPIC = "/greeter_test/faces"


class Running:
    """The example as a process, and the lines of its output so far."""

    def __init__(self) -> None:
        command = [sys.executable, str(EXAMPLE), "--ros-args", "-r", f"faces:={TOPIC}"]
        variables, _ = environment.children(os.environ)
        self.process = subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines += (line.strip() for line in iter(self.process.stdout.readline, ""))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=10)
        finally:
            self.process.kill()


@pytest.fixture
def publisher() -> Iterator[Any]:
    with spinning_node("greeter_test") as node:
        yield node.create_publisher(FaceAttributesArray, TOPIC, 5)


def face(face_id: str, state: int, looks: int = 3, **labels: str) -> FaceAttributes:
    message = FaceAttributes(face_id=face_id, state=state)
    message.estimates = [
        AttributeEstimate(task=task, label=label, looks=looks) for task, label in labels.items()
    ]
    return message


def test_it_imports_only_rclpy_and_the_messages() -> None:
    imported = set()
    for node in ast.walk(ast.parse(EXAMPLE.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    assert imported == {"rclpy", "rclpy.node", "fsb_perception.msg"}


def test_every_confirmed_face_is_greeted_once(publisher: Any) -> None:
    new, confirmed = FaceAttributes.TENTATIVE, FaceAttributes.CONFIRMED
    arrays = [
        [face("t1", new, age_group="20-29", emotion="happiness")],
        [face("n1", confirmed, looks=0, age_group="unknown", emotion="unknown")],
        [face("a1", confirmed, age_group="20-29", emotion="happiness")],
        [face("a1", confirmed, age_group="20-29", emotion="happiness")],
        [face("c1", confirmed, age_group="3-9", emotion="neutral")],
        [face("u1", confirmed, age_group="unknown", emotion="unknown")],
        [face("a1", FaceAttributes.ENDED, age_group="20-29", emotion="happiness")],
        [face("last", confirmed)],
    ]
    greeter = Running()
    try:
        until(publisher.get_subscription_count, what=lambda: greeter.lines)
        for faces in arrays:
            publisher.publish(FaceAttributesArray(faces=faces))
            time.sleep(0.03)
        until(lambda: any("last:" in line for line in greeter.lines), what=lambda: greeter.lines)
    finally:
        greeter.stop()
    greetings = [
        line.partition("[greeter]: ")[2] for line in greeter.lines if "[greeter]: " in line
    ]
    assert greetings == [
        "a1: Good day. You look cheerful!",
        "c1: Hi there! Nice to see you.",
        "u1: Good day. Nice to see you. (I do not presume anything about: age_group, emotion)",
        "last: Good day. Nice to see you.",
    ]
    assert greeter.process.returncode == 0
