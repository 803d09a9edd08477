"""Run the camera and the node as the demo does, and measure what a subscriber receives."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import psutil
import rclpy
from fsb_perception.msg import FaceAttributesArray
from rclpy.signals import SignalHandlerOptions

from fsb_perception.errors import FsbError
from fsb_perception.ros import environment
from fsb_perception.ros.launching.graph import DEMO_NAMESPACE, GRAPHS, NodeSpec
from fsb_perception.ros.launching.processes import NodeProcesses
from fsb_perception.ros.messages import to_nanoseconds
from fsb_perception.ros.spinning import spinning

FACES = 3
_START_LIMIT, _WARM_UP, _SILENCE_LIMIT = 180.0, 3.0, 20.0  # s
_MEMORY_STEP = 250  # frames between two samples of memory
_MEMORY_SETTLED = 1000  # frames after which the allocator's pools are filled
_FASTEST_FPS = 240.0  # more than the node can do, so that it never waits


class BenchError(FsbError):
    """The benchmark did not measure what it should; the message says why."""


@dataclass(frozen=True)
class Answer:
    """One message of the node: times in ns, and the looks of each face by face_id and task."""

    stamp: int
    arrival: int
    sequence: int
    dropped: int
    looks: dict[tuple[str, str], int]


class _Line:
    """A running camera, node and subscriber."""

    def __init__(self, processes: NodeProcesses, answers: list[Answer]) -> None:
        self._processes = processes
        self._answers = answers
        self._node = psutil.Process(processes["face_attributes"].pid)
        self._last_answer = time.monotonic()

    @property
    def rss_mb(self) -> float:
        """Resident memory of the node in MB."""
        return self._node.memory_info().rss / 1e6

    def take(self) -> list[Answer]:
        """Return the answers since the last call; raise `BenchError` if a process has ended."""
        for process in self._processes.ended():
            words = "\n".join(process.last_lines(12))
            raise BenchError(f"{process.spec.name} ended with {process.status}:\n{words}")
        taken = self._answers[:]
        del self._answers[: len(taken)]
        if taken:
            self._last_answer = time.monotonic()
        return taken

    def refuse_silence(self) -> None:
        """Raise `BenchError` if no answer has arrived for long."""
        if time.monotonic() - self._last_answer > _SILENCE_LIMIT:
            raise BenchError(f"the node stopped: no answer for {_SILENCE_LIMIT:g} s")


def measure_line(bundle: str, device: str, seconds: float) -> dict[str, float]:
    """Measure one run at the camera's own pace: rate, drops, latency, faces, memory."""
    with _running(bundle, device) as line:
        line.take()
        time.sleep(seconds)
        answers = line.take()
        rss = line.rss_mb
    _assert_all_encoded(answers)
    latency = np.array([answer.arrival - answer.stamp for answer in answers]) / 1e6
    p50, p95 = np.percentile(latency, (50, 95))
    first, last = answers[0], answers[-1]
    dropped = last.dropped - first.dropped
    return {
        "fps": (len(answers) - 1) * 1e9 / (last.arrival - first.arrival),
        "dropped_percent": 100 * dropped / (last.sequence - first.sequence + dropped),
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "faces": float(FACES),
        "rss_mb": rss,
        "frames": float(len(answers)),
    }


def measure_memory(
    bundle: str, device: str, frames: int, progress: Callable[[int], None]
) -> dict[str, Any]:
    """Measure the node's memory over ``frames`` answers at its highest rate."""
    samples: list[tuple[int, float]] = []
    with _running(bundle, device, fps=_FASTEST_FPS) as line:
        done = 0
        while done < frames:
            time.sleep(0.2)
            done += len(line.take())
            line.refuse_silence()
            if done - (samples[-1][0] if samples else -_MEMORY_STEP) >= _MEMORY_STEP:
                samples.append((done, line.rss_mb))
            progress(done)
    settled = [(count / 1000, mb) for count, mb in samples if count >= _MEMORY_SETTLED]
    slope = _slope(settled) if settled[2:] else None
    return {
        "frames": frames,
        "first_mb": round(samples[0][1], 1),
        "last_mb": round(samples[-1][1], 1),
        "growth_mb_per_1000_frames": slope,
        "samples": [[int(at), round(mb, 1)] for at, mb in samples],
    }


def _slope(points: list[tuple[float, float]]) -> float:
    across, up = np.array(points).T
    return round(float(np.polyfit(across, up, 1)[0]), 3)


def _assert_all_encoded(answers: list[Answer]) -> None:
    """Raise unless the looks at each face and task grew by one from every frame to the next."""
    if len(answers) < 2:
        raise BenchError(f"only {len(answers)} answers arrived: the node or the camera stopped")
    for before, after in itertools.pairwise(answers):
        faces = {face_id for face_id, _ in after.looks}
        if len(faces) != FACES:
            raise BenchError(f"frame {after.sequence} has {len(faces)} faces, expected {FACES}")
        if after.sequence != before.sequence + 1:
            raise BenchError(f"the subscriber missed answers {before.sequence} to {after.sequence}")
        late = [key for key, looks in after.looks.items() if looks != before.looks.get(key, 0) + 1]
        if late:
            raise BenchError(f"frame {after.sequence}: these were not encoded: {late}")


@contextlib.contextmanager
def _running(bundle: str, device: str, fps: float = 0.0) -> Iterator[_Line]:
    """Run the demo's own nodes on the steady clip, warmed up."""
    specs = GRAPHS["demo"].nodes(source="sample:steady", bundle=bundle, device=device, view="false")
    variables, note = environment.children(os.environ, processes=len(specs) + 1)
    os.environ.update(variables)
    if note:
        raise BenchError(note)
    answers: list[Answer] = []
    with _subscribed(answers), NodeProcesses(_paced(specs, fps), variables) as processes:
        line = _Line(processes, answers)
        deadline = time.monotonic() + _START_LIMIT
        while not line.take():
            if time.monotonic() > deadline:
                raise BenchError(f"no answer in {_START_LIMIT:g} s")
            time.sleep(0.1)
        time.sleep(_WARM_UP)
        yield line


def _paced(specs: tuple[NodeSpec, ...], fps: float) -> list[NodeSpec]:
    pace = {"fps": fps}
    return [
        replace(spec, parameters={**spec.parameters, **pace}) if spec.name == "camera" else spec
        for spec in specs
    ]


@contextlib.contextmanager
def _subscribed(answers: list[Answer]) -> Iterator[None]:
    # Ctrl-C and SIGTERM end the benchmark, not only its subscriber.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("bench", namespace=DEMO_NAMESPACE)

    def on_answer(message: FaceAttributesArray) -> None:
        arrival = node.get_clock().now().nanoseconds
        answers.append(_answer(message, arrival))

    node.create_subscription(FaceAttributesArray, "face_attributes/faces", on_answer, 100)
    with spinning(node):
        yield


def _answer(message: FaceAttributesArray, arrival: int) -> Answer:
    return Answer(
        stamp=to_nanoseconds(message.header.stamp),
        arrival=arrival,
        sequence=int(message.sequence),
        dropped=int(message.dropped),
        looks={
            (face.face_id, estimate.task): int(estimate.looks)
            for face in message.faces
            for estimate in face.estimates
        },
    )
