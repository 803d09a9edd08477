"""Every image of a bag through the pipeline, by its recorded stamp, as fast as it goes.

    Bag.frames --> decode --> FacePipeline of its camera --> rows and timings

Tracking and fusion know time from stamps alone, so the answers do not depend on how fast this is:
two runs on one machine give the same bytes. What does depend on it, timings, is kept apart.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fsb_perception.bundle import Bundle, load_bundle
from fsb_perception.config import PerceptionConfig
from fsb_perception.decoding import ConversionError
from fsb_perception.detection import build_detector
from fsb_perception.engine import Engine
from fsb_perception.pipeline import FacePipeline
from fsb_perception.replay.bags import Bag, Frame, ImageTopic
from fsb_perception.replay.problems import Problems
from fsb_perception.replay.rows import Row, failed_row, frame_row
from fsb_perception.tracking import face_id_part

Answered = Iterator[tuple[Row, "Timing"]]


class Answering(Protocol):
    """A way to have images answered.

    Attributes:
        mode: its name, as in summary.json.
        bundle_id: of the bundle that answers.
        tasks: names of what it estimates.
    """

    mode: str
    bundle_id: str
    tasks: Sequence[str]

    def answers(self, bag: Bag, topics: Sequence[ImageTopic]) -> Answered:
        """What is believed after each image, in the order of recording.

        Args:
            bag: see `Bag`; what is wrong goes to its problems.
            topics: of it, one of each camera.

        Raises:
            BagError: nothing can be answered any more.
        """


@dataclass(frozen=True)
class Timing:
    """How long a frame took, in seconds of the steady clock.

    Attributes:
        camera: whose.
        stamp: of the image, in nanoseconds.
        decode: from the message to pixels; 0 where the node did it.
        process: from pixels to the answer; in the node, from the message.
        wait: from publishing the image to hearing the answer; 0 without a running node.
    """

    camera: str
    stamp: int
    decode: float
    process: float
    wait: float = 0.0


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


class Offline:
    """Answers in this process, as fast as it goes.

    Args:
        config: of the pipeline.

    Raises:
        BundleError, DetectorError, OptionError, UnknownNameError: a part cannot be built.
    """

    mode: str = "offline"

    def __init__(self, config: PerceptionConfig) -> None:
        self._config = config
        self._engine = Engine(load_bundle(config.bundle), config.engine)
        self._detector = build_detector(config.detector)
        self.bundle_id = self._engine.bundle.bundle_id
        self.tasks: Sequence[str] = reported_tasks(self._engine.bundle, config)
        self._engine.warm_up()

    def answers(self, bag: Bag, topics: Sequence[ImageTopic]) -> Answered:
        """See `Answering`."""
        clock = Clock(bag.problems)
        made: dict[str, FacePipeline] = {}
        for frame in bag.frames(topics):
            camera = frame.topic.camera
            clock.see(camera, frame.stamp)
            if camera not in made:
                made[camera] = self._pipeline(camera)
            yield _answer(frame, made[camera], bag.problems)

    def _pipeline(self, camera: str) -> FacePipeline:
        return FacePipeline(self._config, self._engine, self._detector, id_prefix(camera))


def id_prefix(camera: str) -> str:
    """What a camera's face_ids begin with: the same at every run, and as the node has it.

    >>> id_prefix("Head/Front"), id_prefix("")
    ('face_head_front', 'face')
    """
    return f"face_{face_id_part(camera)}" if camera else "face"


def reported_tasks(bundle: Bundle, config: PerceptionConfig) -> list[str]:
    """Names of the bundle's tasks that are switched on."""
    names = [task.name for task in bundle.tasks]
    return [name for name in names if not config.tasks or name in config.tasks]


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
