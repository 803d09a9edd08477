"""The thread that answers: takes the newest frame of each camera in turn and publishes one array.

The executor's thread only files messages; whatever costs time happens here.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

from fsb_perception.images.messages import ConversionError
from fsb_perception.pipeline import FacePipeline
from fsb_perception.ros.mailbox import Letter, Mailboxes
from fsb_perception.ros.messages import to_nanoseconds
from fsb_perception.types import FaceAttributes, Image

_WAIT = 0.2  # s: how soon the thread notices that it shall end
_QUIET = 5.0  # s between two lines in the log about the same fault
_LATENCIES_KEPT = 300


@dataclass
class Counts:
    """What became of one camera's frames since activation.

    Attributes:
        answered: frames that an array was published for.
        undecodable: frames that are no picture; they count as dropped.
        failed: frames on which the pipeline raised; they count as dropped.
        process_times: of the newest frames, in seconds.
        latencies: arrival to publication of the newest frames, in seconds.
    """

    answered: int = 0
    undecodable: int = 0
    failed: int = 0
    process_times: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES_KEPT))
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES_KEPT))


@dataclass(frozen=True)
class Answer:
    """One processed frame, ready to publish."""

    camera: str
    header: Any
    image: Image
    faces: list[FaceAttributes]
    sequence: int
    dropped: int
    wait_time: float
    process_time: float


class Worker:
    """Runs the pipelines, one a camera, in a thread of its own.

    Args:
        pipelines: by camera.
        mailboxes: where frames wait.
        convert: image message to picture; raises `ConversionError`.
        publish: called with each `Answer`.
        alive: whether the node may still publish.
        now: the node's clock in nanoseconds, for images that carry no stamp.
        logger: of the node.
    """

    def __init__(
        self,
        pipelines: Mapping[str, FacePipeline],
        mailboxes: Mailboxes[Any],
        convert: Callable[[Any], Image],
        publish: Callable[[Answer], None],
        alive: Callable[[], bool],
        now: Callable[[], int],
        logger: RcutilsLogger,
    ) -> None:
        self._pipelines, self._mailboxes = pipelines, mailboxes
        self._convert, self._publish, self._alive, self._now = convert, publish, alive, now
        self._logger = logger
        self.counts = {camera: Counts() for camera in pipelines}
        self._spoke: dict[str, float] = {}  # when a fault of a camera was last told
        self._unstamped: set[str] = set()
        self._stopping = threading.Event()
        self._resetting = threading.Event()
        self._thread = threading.Thread(target=self._work, name="face_attributes", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the frame it works on."""
        self._stopping.set()
        self._thread.join(timeout=10.0)

    def reset_tracks(self) -> None:
        """End all tracks before the next frame."""
        self._resetting.set()

    def dropped(self, camera: str) -> int:
        """Frames that arrived and were not answered: replaced by newer ones, or unusable."""
        counts = self.counts[camera]
        return self._mailboxes.replaced(camera) + counts.undecodable + counts.failed

    def _work(self) -> None:
        while not self._stopping.is_set():
            letter = self._mailboxes.take(_WAIT)
            if self._resetting.is_set():
                self._resetting.clear()
                for pipeline in self._pipelines.values():
                    pipeline.reset()
            if letter is not None:
                self._answer_safely(letter)

    def _answer_safely(self, letter: Letter[Any]) -> None:
        """A bad frame costs a line in the log, never the node."""
        counts = self.counts[letter.camera]
        name = letter.camera or "camera"
        try:
            self._answer(letter, counts)
        except ConversionError as error:
            counts.undecodable += 1
            if self._may_speak(letter.camera):
                self._logger.warning(
                    f"{name}: a frame was left out: {error} ({counts.undecodable} so far)"
                )
        except Exception as error:  # whatever it is, the next frame may be sound
            if self._stopping.is_set() or not self._alive():
                return  # the end has come in the middle of a frame
            counts.failed += 1
            if self._may_speak(letter.camera):
                self._logger.error(
                    f"{name}: a frame failed: {type(error).__name__}: {error} "
                    f"({counts.failed} so far); please report this"
                )

    def _answer(self, letter: Letter[Any], counts: Counts) -> None:
        begun = time.monotonic()
        image = self._convert(letter.content)
        header = letter.content.header
        faces = self._pipelines[letter.camera].process(image, self._stamp(header, letter.camera))
        ended = time.monotonic()
        self._publish(
            Answer(
                camera=letter.camera,
                header=header,
                image=image,
                faces=faces,
                sequence=counts.answered + 1,
                dropped=self.dropped(letter.camera),
                wait_time=begun - letter.arrival,
                process_time=ended - begun,
            )
        )
        counts.answered += 1
        counts.process_times.append(ended - begun)
        counts.latencies.append(time.monotonic() - letter.arrival)

    def _stamp(self, header: Any, camera: str) -> int:
        stamp = to_nanoseconds(header.stamp)
        if stamp > 0:
            return stamp
        if camera not in self._unstamped:
            self._unstamped.add(camera)
            name = camera or "camera"
            self._logger.warning(f"{name}: its images carry no stamp; the time of receipt is used")
        return self._now()

    def _may_speak(self, camera: str) -> bool:
        """One line about each camera's faults now and then: the count says how many there were."""
        now = time.monotonic()
        if now - self._spoke.get(camera, -_QUIET) < _QUIET:
            return False
        self._spoke[camera] = now
        return True
