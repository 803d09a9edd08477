"""Builders: each makes one valid value, and a test names only the parts that matter to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fsb_perception.alignment import Aligner
from fsb_perception.tasks import TASKS, Task
from fsb_perception.types import (
    AttributeEstimate,
    Face,
    FaceAttributes,
    Floats,
    Image,
    Quality,
    TrackState,
)

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND  # a stamp as live clocks give it


def stamps(fps: float, seconds: float, start: int = START) -> list[int]:
    """Return the stamps of a steady camera, in nanoseconds, the first at ``start``."""
    return [start + round(i * SECOND / fps) for i in range(round(fps * seconds))]


def frame(width: int = 640, height: int = 480, level: int | None = None) -> Image:
    """Make a uint8 BGR picture of one grey level, or textured so that faces in it are sharp."""
    if level is not None:
        return np.full((height, width, 3), level, np.uint8)
    return np.random.default_rng(0).integers(60, 200, (height, width, 3), np.uint8)


def face(
    x: float = 320.0,
    y: float = 240.0,
    size: float = 90.0,
    score: float = 0.9,
    landmarks: bool = True,
) -> Face:
    """Make a frontal face centred at (x, y), ``size`` px wide and 1.3 times as high."""
    box = np.array([x - size / 2, y - 0.65 * size, x + size / 2, y + 0.65 * size], np.float32)
    if not landmarks:
        return Face(box, score)
    # Shares of the width from the centre: eyes, nose tip, mouth corners.
    shares = np.array([[-0.24, -0.2], [0.24, -0.2], [0, 0.1], [-0.19, 0.34], [0.19, 0.34]])
    return Face(box, score, (shares * size + [x, y]).astype(np.float32))


def probabilities(task: str | Task, best: int = 0, confidence: float = 0.9) -> Floats:
    """Make one look: ``confidence`` for the class with index ``best``, the rest shared evenly."""
    classes = len((TASKS[task] if isinstance(task, str) else task).labels)
    row = np.full(classes, (1 - confidence) / (classes - 1), np.float32)
    row[best] = confidence
    return row


def look(best: int = 0, confidence: float = 0.9, tasks: Iterable[str] = TASKS) -> dict[str, Floats]:
    """Make one look at each task."""
    return {task: probabilities(task, best, confidence) for task in tasks}


def estimate(task: str = "gender", best: int = 0, confidence: float = 0.9) -> AttributeEstimate:
    """Make a settled estimate."""
    labels = TASKS[task].labels
    return AttributeEstimate(
        task,
        labels,
        label=labels[best],
        confidence=confidence,
        probabilities=tuple(probabilities(task, best, confidence).tolist()),
        raw_label=labels[best],
        raw_confidence=confidence,
        stable=True,
        since=START,
        last_look=START,
        looks=10,
    )


def attributes(
    face_id: str = "face_1",
    state: TrackState = TrackState.CONFIRMED,
    seen: Face | None = None,
    estimates: Sequence[AttributeEstimate] | None = None,
    quality: Quality | None = None,
) -> FaceAttributes:
    """Make the pipeline's report of one face, with an estimate of each task."""
    return FaceAttributes(
        face_id,
        state,
        START,
        START + SECOND,
        seen or face(),
        quality or Quality(score=0.8, sharpness=200.0, brightness=0.5, head_rpy=(0.0, 0.1, -0.2)),
        tuple(estimate(task) for task in TASKS) if estimates is None else tuple(estimates),
    )


@dataclass
class FakeDetector:
    """Detects the faces of its script, a list a frame; the last list repeats."""

    script: list[list[Face]]
    calls: int = 0

    def detect(self, image: Image) -> list[Face]:
        self.calls += 1
        return self.script[min(self.calls, len(self.script)) - 1]


@dataclass(frozen=True)
class FakeBundle:
    """The members of a bundle that the pipeline reads."""

    tasks: tuple[Task, ...] = tuple(TASKS.values())
    name: str = "fake"
    bundle_id: str = "fake@000000000000"


@dataclass
class FakeEngine:
    """Gives every face the same probabilities, and records the shapes of its batches."""

    probabilities: dict[str, Floats] = field(default_factory=look)
    bundle: FakeBundle = field(default_factory=FakeBundle)
    aligner: Aligner = field(default_factory=lambda: Aligner(64))
    batches: list[list[tuple[int, ...]]] = field(default_factory=list)

    def warm_up(self) -> None:
        """Nothing to allocate."""

    def encode(self, aligned: Sequence[Image]) -> dict[str, Floats]:
        self.batches.append([cut.shape for cut in aligned])
        return {
            task: np.tile(row, (len(aligned), 1)) if len(aligned) else np.zeros((0, row.size), "f4")
            for task, row in self.probabilities.items()
        }
