"""The thread that answers: it takes the newest frame of each camera in turn.

The executor's thread only stores messages; everything that takes time runs here.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rclpy.node import Node
from std_msgs.msg import Header

from fsb_perception.errors import FsbError
from fsb_perception.images.messages import ConversionError
from fsb_perception.pipeline import FacePipeline
from fsb_perception.ros.decoders import Decoders
from fsb_perception.ros.logs import Backoff
from fsb_perception.ros.mailbox import Mailboxes, WaitingFrame
from fsb_perception.ros.messages import to_nanoseconds
from fsb_perception.types import FaceAttributes, Image

_WAIT = 0.2  # s after which the thread looks whether it should stop
_STOP_LIMIT = 10.0  # s that the last frame may take
_TEXT = 300  # characters of an error in the log
_TIMES_KEPT = 300  # frames over which percentiles are taken


@dataclass
class Counts:
    """Counts and times of one camera's frames since activation.

    Attributes:
        answered: frames whose faces were published.
        undecodable: frames that could not be decoded; they count as dropped.
        failed: frames on which the pipeline raised an error; they count as dropped.
        late: frames whose answer was too old to be published; they count as dropped.
        fault: why the newest of them failed, if the user can mend it.
        process_times: start of the processing to its end, of the newest frames, in seconds.
        latencies: arrival to publication, of the newest frames, in seconds.
    """

    answered: int = 0
    undecodable: int = 0
    failed: int = 0
    late: int = 0
    fault: str = ""
    process_times: deque[float] = field(default_factory=lambda: deque(maxlen=_TIMES_KEPT))
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_TIMES_KEPT))


@dataclass(frozen=True)
class Answer:
    """One processed frame, ready to be published.

    Attributes:
        camera: its name; empty for a single camera.
        header: that of the image message, unchanged.
        image: uint8 BGR (height, width, 3).
        faces: the faces that are followed in it.
        sequence: frames of this camera answered since activation, this one included.
        dropped: frames of this camera that were not answered.
        wait_time: arrival to the start of the processing, in seconds.
        process_time: start of the processing to its end, in seconds.
    """

    camera: str
    header: Header
    image: Image
    faces: list[FaceAttributes]
    sequence: int
    dropped: int
    wait_time: float
    process_time: float


class Worker:
    """A thread that runs the pipelines, one a camera.

    Args:
        node: its clock dates images without a stamp, its log reports bad frames.
        pipelines: by camera.
        mailboxes: where frames wait.
        convert: turns an image message into a picture, in several threads at once; raises
            `ConversionError`.
        publish: called with each `Answer`.
        max_age: seconds after the arrival of an image from which its answer is not published.
    """

    def __init__(
        self,
        node: Node,
        pipelines: Mapping[str, FacePipeline],
        mailboxes: Mailboxes[Any],
        convert: Callable[[Any], Image],
        publish: Callable[[Answer], None],
        max_age: float,
    ) -> None:
        self._node = node
        self._pipelines, self._mailboxes = pipelines, mailboxes
        self._decoders = Decoders(pipelines, convert, mailboxes)
        self._publish, self._max_age = publish, max_age
        self.counts = {camera: Counts() for camera in pipelines}
        self._backoff = Backoff()  # of lines about bad frames, by camera
        self._unstamped: set[str] = set()  # cameras whose missing stamps are logged already
        self._stopping = threading.Event()
        self._resetting = threading.Event()
        self._thread = threading.Thread(target=self._work, name="face_attributes", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """True while the thread runs; `stop` does not wait for ever."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Stop the thread after its current frame; wait for it, but for 10 s at most."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_LIMIT)
        self._decoders.close()

    def reset_tracks(self) -> None:
        """End all tracks before the next frame."""
        self._resetting.set()

    def dropped(self, camera: str) -> int:
        """Return the number of frames without an answer: replaced by newer ones, or unusable."""
        counts = self.counts[camera]
        return self._mailboxes.replaced(camera) + counts.undecodable + counts.failed + counts.late

    def _work(self) -> None:
        while not self._stopping.is_set():
            frame = self._mailboxes.take(_WAIT)
            if self._resetting.is_set():
                self._resetting.clear()
                for pipeline in self._pipelines.values():
                    pipeline.reset()
            if frame is not None:
                self._answer_safely(frame)

    def _answer_safely(self, frame: WaitingFrame[Any]) -> None:
        """Answer a frame; a bad one costs a log line and never the node."""
        counts = self.counts[frame.camera]
        name = frame.camera or "camera"
        try:
            self._answer(frame, counts)
        except ConversionError as error:
            counts.undecodable += 1
            if self._backoff.is_due(frame.camera):
                self._node.get_logger().warning(
                    f"{name}: a frame was dropped: {error} ({counts.undecodable} so far)"
                )
        except Exception as error:  # of any kind: the next frame may be sound
            if self._stopping.is_set() or not self._node.context.ok():
                return  # the node was stopped in the middle of this frame
            counts.failed += 1
            counts.fault = str(error) if isinstance(error, FsbError) else ""
            if self._backoff.is_due(frame.camera):
                reason = (
                    counts.fault
                    or f"{type(error).__name__}: {str(error)[:_TEXT]}; please report this"
                )
                self._node.get_logger().error(
                    f"{name}: a frame failed: {reason} ({counts.failed} so far)"
                )

    def _answer(self, frame: WaitingFrame[Any], counts: Counts) -> None:
        begin = time.monotonic()
        image = self._decoders.decode(frame)
        if image is None:
            return  # the other cameras come first
        header = frame.content.header
        faces = self._pipelines[frame.camera].process(image, self._stamp(header, frame.camera))
        end = time.monotonic()
        if self._stopping.is_set():
            return  # the node is inactive by now
        if end - frame.arrival > self._max_age:
            self._count_late(frame.camera, end - frame.arrival)
            return
        self._publish(
            Answer(
                camera=frame.camera,
                header=header,
                image=image,
                faces=faces,
                sequence=counts.answered + 1,
                dropped=self.dropped(frame.camera),
                wait_time=begin - frame.arrival,
                process_time=end - begin,
            )
        )
        counts.answered += 1
        counts.process_times.append(end - begin)
        counts.latencies.append(time.monotonic() - frame.arrival)

    def _count_late(self, camera: str, age: float) -> None:
        counts = self.counts[camera]
        counts.late += 1
        if self._backoff.is_due(camera):
            self._node.get_logger().warning(
                f"{camera or 'camera'}: an answer was ready {age:.1f} s after its image and is not "
                f"published; max_answer_age is {self._max_age:g} s ({counts.late} so far)"
            )

    def _stamp(self, header: Header, camera: str) -> int:
        stamp = to_nanoseconds(header.stamp)
        if stamp > 0:
            return stamp
        if camera not in self._unstamped:
            self._unstamped.add(camera)
            self._node.get_logger().warning(
                f"{camera or 'camera'}: its images have no stamp; the time of receipt is used"
            )
        return int(self._node.get_clock().now().nanoseconds)
