"""Soak the node: cameras come and go, it is configured again and again, and its size is recorded.

    scripts/soak.py --minutes 20 --fps 5

The node runs in a process of its own. The script plays the robot in a fixed order: a camera
publishes and ends, subscribers come and go, a parameter changes, the life cycle turns. It prints
the memory, descriptors, threads and shared memory of the node as a Markdown table, and ends with
status 1 if the node has ended, or has grown since it was warm.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import psutil

from fsb_perception.ros import environment

NAMESPACE = "fsb_soak"
ROUND = 10.0  # s from one cycle of the node's life to the next
WARM = 0.25  # share of the run after which the node must not grow
GROWTH_MB = 40.0  # allowed after that: the allocator's noise


@dataclass(frozen=True)
class Row:
    """The size of the node's process at one time."""

    minute: float
    rounds: int
    answered: int
    memory_mb: float
    descriptors: int
    threads: int
    segments: int
    shm_mb: float


HEADS = ("minute", "cycles", "answers", "memory MB", "descriptors", "threads", "segments", "shm MB")


def measure(pid: int, started: float, rounds: int, answered: int) -> Row:
    """Return the size of a process; segments are the files of /dev/shm that it has mapped."""
    process = psutil.Process(pid)
    maps = Path(f"/proc/{pid}/maps").read_text()
    segments = set(re.findall(r"/dev/shm/fast\w+", maps))
    sizes = [os.stat(path).st_size for path in segments if os.path.exists(path)]
    return Row(
        round((time.monotonic() - started) / 60, 1),
        rounds,
        answered,
        round(process.memory_info().rss / 1e6),
        process.num_fds(),
        process.num_threads(),
        len(segments),
        round(sum(sizes) / 1e6, 1),
    )


def line(values: tuple[Any, ...]) -> str:
    """Return one row of a Markdown table."""
    return f"| {' | '.join(map(str, values))} |"


class Robot:
    """The other side of the topics and services of the node."""

    def __init__(self, node: Any, fps: float) -> None:
        from fsb_perception.msg import FaceAttributesArray

        from fsb_perception.images.sources import open_source
        from fsb_perception.ros.qos import FACES_QOS

        self._node, self._fps = node, fps
        self._pictures: Iterator[Any] = iter(open_source("sample", loop=True).pictures)
        self.answered = 0
        self._faces = (FaceAttributesArray, "face_attributes/faces", self._count, FACES_QOS)
        node.create_subscription(*self._faces)

    def _count(self, _: Any) -> None:
        self.answered += 1

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service of the node, with a limit of 60 s; raises `TimeoutError`."""
        client = self._node.create_client(kind, f"face_attributes/{name}")
        try:
            if not client.wait_for_service(60):
                raise TimeoutError(f"{name} is not offered")
            future = client.call_async(request)
            deadline = time.monotonic() + 60
            while not future.done():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{name} does not answer")
                time.sleep(0.02)
            return future.result()
        finally:
            self._node.destroy_client(client)

    def film(self, seconds: float) -> None:
        """Be a camera that comes, publishes for some time and goes, with a late subscriber."""
        from sensor_msgs.msg import Image
        from std_msgs.msg import Header

        from fsb_perception.ros.conversions import bgr_to_image
        from fsb_perception.ros.qos import IMAGE_QOS

        camera = self._node.create_publisher(Image, "image", IMAGE_QOS)
        late = self._node.create_subscription(self._faces[0], self._faces[1], id, self._faces[3])
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            stamp = self._node.get_clock().now().to_msg()
            camera.publish(bgr_to_image(next(self._pictures), Header(stamp=stamp)))
            time.sleep(1 / self._fps)
        self._node.destroy_subscription(late)
        self._node.destroy_publisher(camera)

    def change(self, *transitions: int) -> None:
        """Run transitions of the node's life cycle; raises `RuntimeError` if one fails."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        for number in transitions:
            request = ChangeState.Request(transition=Transition(id=number))
            if not self.call(ChangeState, "change_state", request).success:
                raise RuntimeError(f"transition {number} failed")

    def set(self, name: str, value: float) -> None:
        """Set a parameter of the node."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        parameter = Parameter(name, value=value).to_parameter_msg()
        self.call(SetParameters, "set_parameters", SetParameters.Request(parameters=[parameter]))


def soak(minutes: float, fps: float) -> list[Row]:
    """Run the node for so long; return its size at each twentieth of the run."""
    import rclpy

    from fsb_perception.ros.launching.graph import NodeSpec
    from fsb_perception.ros.launching.processes import NodeProcesses
    from fsb_perception.ros.spinning import spinning_alone

    spec = NodeSpec(
        "face_attributes",
        "fsb_perception.ros.node",
        namespace=NAMESPACE,
        parameters={"engine.device": "cpu"},
    )
    rows: list[Row] = []
    started = time.monotonic()
    with (
        NodeProcesses([spec], os.environ) as processes,
        spinning_alone(
            lambda context: rclpy.create_node("soak", namespace=NAMESPACE, context=context)
        ) as node,
    ):
        robot, pid, rounds = Robot(node, fps), processes["face_attributes"].pid, 0
        robot.film(15.0)
        print(line(HEADS), line(("---",) * len(HEADS)), sep="\n", flush=True)
        while (time.monotonic() - started) / 60 < minutes and not processes.ended():
            robot.film(ROUND)
            robot.set("quality.min_size", 32.0 + rounds % 3)
            robot.change(4, 2, 1, 3)  # deactivate, cleanup, configure, activate
            rounds += 1
            if (time.monotonic() - started) / 60 >= minutes * len(rows) / 20:
                rows.append(measure(pid, started, rounds, robot.answered))
                print(line(astuple(rows[-1])), flush=True)
        if processes.ended():
            print("\n".join(processes["face_attributes"].last_lines(20)), file=sys.stderr)
            return []
    return rows


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--fps", type=float, default=5.0, help="frames a second of the camera")
    arguments = parser.parse_args()
    variables, note = environment.children(os.environ, processes=2)
    os.environ.update(variables)
    if note:
        print(note, file=sys.stderr)
    rows = soak(arguments.minutes, arguments.fps)
    if not rows:
        print("the node has ended", file=sys.stderr)
        return 1
    warm, last = rows[int(WARM * len(rows))], rows[-1]
    grown = last.memory_mb - warm.memory_mb
    print(f"memory since minute {warm.minute:g}: {grown:+.0f} MB")
    return int(grown > GROWTH_MB)


if __name__ == "__main__":
    environment.prepare()
    raise SystemExit(main())
