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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fsb_perception.bundles.bundle import Bundle, load_bundle
from fsb_perception.config import PerceptionConfig
from fsb_perception.detection import build_detector
from fsb_perception.images.messages import ConversionError
from fsb_perception.inference.engine import Engine
from fsb_perception.pipeline import FacePipeline
from fsb_perception.problems import Problems
from fsb_perception.replay.answering import Answered, Clock, Timing
from fsb_perception.replay.bags.reader import Bag, Frame
from fsb_perception.replay.bags.topics import ImageTopic
from fsb_perception.replay.rows import Row, failed_row, frame_row
from fsb_perception.tracking import face_id_part
from fsb_perception.types import Face, Image
from fsb_perception.workers import ahead

# Decoding and detecting take longer than the rest, and remember nothing: two at once.
_THREADS = 2
_AHEAD = 6  # frames that may wait for the encoder


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
