"""Every image of a bag through the pipeline, by its recorded stamp, as fast as it goes.

    Bag.frames --> decode --> detect --> FacePipeline of its camera --> rows and timings
                 two threads, some ahead       the calling thread

Tracking and fusion know time from stamps alone, so the answers do not depend on how fast this is:
two runs on one machine give the same bytes. What does depend on it, timings, is kept apart.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fsb_perception.ahead import ahead
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
from fsb_perception.types import Face, Image

Answered = Iterator[tuple[Row, "Timing"]]

# Decoding and detecting take longer than the rest, and remember nothing: two at once.
_THREADS = 2
_AHEAD = 6  # frames that may wait for the encoder


class Answering(Protocol):
    """A way to have images answered.

    Attributes:
        mode: its name, as in summary.json.
        bundle_id: of the bundle that answers.
        tasks: names of what it estimates.
        facts: what else there is to say of the last recording, for summary.json.
        pid: of the process that answers; None while there is none.
    """

    mode: str
    bundle_id: str
    tasks: Sequence[str]
    facts: dict[str, Any]
    pid: int | None

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
        process: from pixels to the answer, waiting left out; in the node, from the message.
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


@dataclass(frozen=True, eq=False)
class _Seen:
    """A frame, the faces in it, and the seconds that both took; without an image, the error."""

    frame: Frame
    decode: float
    image: Image | None = None
    faces: Sequence[Face] = ()
    detect: float = 0.0
    error: str = ""


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
        self._detector = build_detector(config.detector)  # says now what would fail in a thread
        self._of_thread = threading.local()  # a detector, which no two threads may ask at once
        self.bundle_id = self._engine.bundle.bundle_id
        self.tasks: Sequence[str] = reported_tasks(self._engine.bundle, config)
        self.facts: dict[str, Any] = {}
        self.pid: int | None = os.getpid()
        self._engine.warm_up()

    def answers(self, bag: Bag, topics: Sequence[ImageTopic]) -> Answered:
        """See `Answering`."""
        clock = Clock(bag.problems)
        made: dict[str, FacePipeline] = {}
        frames = bag.frames(topics)
        with contextlib.closing(ahead(self._look, frames, _THREADS, _AHEAD)) as looked:
            for seen in looked:
                camera = seen.frame.topic.camera
                clock.see(camera, seen.frame.stamp)
                if camera not in made:
                    made[camera] = self._pipeline(camera)
                yield _answer(seen, made[camera], bag.problems)

    def _look(self, frame: Frame) -> _Seen:
        """What of a frame does not depend on the others."""
        begun = time.perf_counter()
        try:
            image = np.ascontiguousarray(frame.decode())
        except ConversionError as error:
            return _Seen(frame, time.perf_counter() - begun, error=str(error))
        decoded = time.perf_counter()
        if not hasattr(self._of_thread, "detector"):
            self._of_thread.detector = build_detector(self._config.detector)
        faces = self._of_thread.detector.detect(image)
        detect = time.perf_counter() - decoded
        return _Seen(frame, decoded - begun, image=image, faces=faces, detect=detect)

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


def _answer(seen: _Seen, pipeline: FacePipeline, problems: Problems) -> tuple[Row, Timing]:
    frame, image = seen.frame, seen.image
    camera, stamp = frame.topic.camera, frame.stamp
    if image is None:
        where = f"{frame.topic.name} at {stamp} ns"
        problems.note("image that cannot be decoded", f"{where}: {seen.error}")
        return failed_row(camera, stamp, seen.error), Timing(camera, stamp, seen.decode, 0.0)
    begun = time.perf_counter()
    faces = pipeline.follow(image, seen.faces, stamp)
    process = seen.detect + time.perf_counter() - begun
    size = (image.shape[1], image.shape[0])
    return frame_row(camera, stamp, size, faces), Timing(camera, stamp, seen.decode, process)
