r"""Every image of a bag through the pipeline, by its recorded stamp, as fast as it goes.

    Bag.frames --> decode --> FacePipeline of its camera --> results.jsonl
                                                         \-> timing.jsonl

Tracking and fusion know time from stamps alone, so the answers do not depend on how fast this is:
two runs on one machine give the same bytes. What does depend on it, timings, is kept apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fsb_perception.config import PerceptionConfig
from fsb_perception.decoding import ConversionError
from fsb_perception.detection import Detector
from fsb_perception.engine import Engine
from fsb_perception.pipeline import FacePipeline
from fsb_perception.replay.bags import Bag, Frame, ImageTopic
from fsb_perception.replay.problems import Problems
from fsb_perception.replay.rows import Row, failed_row, frame_row

MakePipeline = Callable[[str], FacePipeline]


@dataclass(frozen=True)
class Timing:
    """How long a frame took, in seconds of the steady clock."""

    camera: str
    stamp: int
    decode: float
    process: float


class Clock:
    """Looks at the stamps of each camera for what no camera should do."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._last: dict[str, int] = {}

    def see(self, camera: str, stamp: int) -> None:
        """Note a stamp that is zero, repeated, or earlier than the one before."""
        last = self._last.get(camera)
        self._last[camera] = stamp
        where = f"{camera or 'the camera'} at {stamp} ns"
        if stamp <= 0:
            self._problems.note("image without a stamp", where)
        elif last is not None and 0 < stamp < last:
            self._problems.note("stamp goes back", f"{where} after {last} ns")
        elif last == stamp:
            self._problems.note("stamp is repeated", where)


def pipelines(config: PerceptionConfig, engine: Engine, detector: Detector) -> MakePipeline:
    """What makes a camera's pipeline; its face_ids are the same at every run."""

    def make(camera: str) -> FacePipeline:
        name = "".join(c if c.isascii() and c.isalnum() else "_" for c in camera.lower())
        return FacePipeline(config, engine, detector, f"face_{name}" if name else "face")

    return make


def answers(
    bag: Bag, topics: Sequence[ImageTopic], make: MakePipeline
) -> Iterator[tuple[Row, Timing]]:
    """What is believed after each image, in the order of recording; what is wrong is in the bag's
    problems.

    Args:
        bag: see `Bag`.
        topics: one of each camera.
        make: a camera's own pipeline.
    """
    clock = Clock(bag.problems)
    made: dict[str, FacePipeline] = {}
    for frame in bag.frames(topics):
        camera = frame.topic.camera
        clock.see(camera, frame.stamp)
        if camera not in made:
            made[camera] = make(camera)
        yield _answer(frame, made[camera], bag.problems)


def _answer(frame: Frame, pipeline: FacePipeline, problems: Problems) -> tuple[Row, Timing]:
    camera, stamp = frame.topic.camera, frame.stamp
    begun = time.perf_counter()
    try:
        image = frame.decode()
    except ConversionError as error:
        problems.note("image that cannot be decoded", f"{frame.topic.name} at {stamp} ns: {error}")
        took = time.perf_counter() - begun
        return failed_row(camera, stamp, str(error)), Timing(camera, stamp, took, 0.0)
    decoded = time.perf_counter()
    faces = pipeline.process(image, stamp)
    done = time.perf_counter()
    size = (image.shape[1], image.shape[0])
    timing = Timing(camera, stamp, decoded - begun, done - decoded)
    return frame_row(camera, stamp, size, faces), timing
