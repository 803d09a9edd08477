"""Every image of a bag through the pipeline, by its recorded stamp, as fast as it goes.

    Bag.frames --> decode --> detect --> FacePipeline of its camera --> rows and timings
                 two threads, some ahead       the calling thread

Tracking and fusion take time from stamps alone, so the answers do not depend on the speed: two runs
on one machine give the same bytes. Timings do depend on it and are kept apart.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

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
from fsb_perception.replay.summary import Play
from fsb_perception.tracking import face_id_part
from fsb_perception.types import Face, Image
from fsb_perception.workers import ahead

# Decoding and detecting take longer than the rest, and keep no state: two frames at once.
_THREADS = 2
_AHEAD = 6  # frames that may wait for the encoder


@dataclass(frozen=True, eq=False)
class _Detected:
    """A frame, the faces in it, and the seconds both took; without an image, the error."""

    frame: Frame
    decode: float
    image: Image | None = None
    faces: Sequence[Face] = ()
    detect: float = 0.0
    error: str = ""


class Offline:
    """Answers by this process, as fast as it goes.

    Args:
        config: options of the pipeline.

    Raises:
        BundleError, DetectorError, OptionError, UnknownNameError: a part cannot be built.
    """

    mode: str = "offline"

    def __init__(self, config: PerceptionConfig) -> None:
        self._config = config
        bundle = load_bundle(config.bundle, digest=config.bundle_digest)
        self._engine = Engine(bundle, config.engine)
        self._detector = build_detector(config.detector)  # fails now instead of in a thread
        self._thread_local = threading.local()  # a detector each: threads cannot share one
        self.bundle_id = self._engine.bundle.bundle_id
        self.tasks: Sequence[str] = reported_tasks(self._engine.bundle, config)
        self.play: Play | None = None
        self.pid: int | None = os.getpid()
        self._engine.warm_up()

    def answers(self, bag: Bag, topics: Sequence[ImageTopic]) -> Answered:
        """Yield the faces after each image; see `fsb_perception.replay.answering.Answering`."""
        clock = Clock(bag.problems)
        pipelines: dict[str, FacePipeline] = {}
        frames = bag.frames(topics)
        with contextlib.closing(ahead(self._detect, frames, _THREADS, _AHEAD)) as detections:
            for detected in detections:
                camera = detected.frame.topic.camera
                clock.check(camera, detected.frame.stamp)
                if camera not in pipelines:
                    pipelines[camera] = self._pipeline(camera)
                yield _answer(detected, pipelines[camera], bag.problems)

    def _detect(self, frame: Frame) -> _Detected:
        """Do the part of the work on a frame that does not depend on other frames."""
        begun = time.perf_counter()
        try:
            image = np.ascontiguousarray(frame.decode(self._config.decoding))
        except ConversionError as error:
            return _Detected(frame, time.perf_counter() - begun, error=str(error))
        decoded = time.perf_counter()
        if not hasattr(self._thread_local, "detector"):
            self._thread_local.detector = build_detector(self._config.detector)
        faces = self._thread_local.detector.detect(image)
        detect = time.perf_counter() - decoded
        return _Detected(frame, decoded - begun, image=image, faces=faces, detect=detect)

    def _pipeline(self, camera: str) -> FacePipeline:
        return FacePipeline(self._config, self._engine, self._detector, id_prefix(camera))


def id_prefix(camera: str) -> str:
    """Return the start of a camera's face_ids: the same at every run, and as in the node.

    >>> id_prefix("Head/Front"), id_prefix("")
    ('face_head_front', 'face')
    """
    return f"face_{face_id_part(camera)}" if camera else "face"


def reported_tasks(bundle: Bundle, config: PerceptionConfig) -> list[str]:
    """Return the names of the bundle's tasks that are switched on."""
    names = [task.name for task in bundle.tasks]
    return [name for name in names if not config.tasks or name in config.tasks]


def _answer(detected: _Detected, pipeline: FacePipeline, problems: Problems) -> tuple[Row, Timing]:
    frame, image = detected.frame, detected.image
    camera, stamp = frame.topic.camera, frame.stamp
    if image is None:
        place = f"{frame.topic.name} at {stamp} ns"
        problems.note("image that cannot be decoded", f"{place}: {detected.error}")
        return failed_row(camera, stamp, detected.error), Timing(
            camera, stamp, detected.decode, 0.0
        )
    begun = time.perf_counter()
    faces = pipeline.follow(image, detected.faces, stamp)
    process = detected.detect + time.perf_counter() - begun
    size = (image.shape[1], image.shape[0])
    return frame_row(camera, stamp, size, faces), Timing(camera, stamp, detected.decode, process)
