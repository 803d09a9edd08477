"""One slot for each camera: the newest frame wins, and every replaced frame is counted."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class WaitingFrame(Generic[T]):
    """A frame that waits for the worker.

    Attributes:
        camera: name of its camera.
        content: the frame.
        arrival: time of its arrival, in seconds of the steady clock.
    """

    camera: str
    content: T
    arrival: float


class Mailboxes(Generic[T]):
    """A one-slot mailbox for each camera; `take` serves the cameras in turn, so that none starves.

    A queue would make every answer as old as the queue is long. With a slot, an answer is never
    older than twice the time that one takes, however fast the camera is.

    >>> mailboxes = Mailboxes(["front", "rear"])
    >>> for number in range(3):
    ...     mailboxes.put(WaitingFrame("front", number, arrival=0.0))
    >>> mailboxes.take(timeout=0.0)
    WaitingFrame(camera='front', content=2, arrival=0.0)
    >>> mailboxes.replaced("front")
    2
    """

    def __init__(self, cameras: Iterable[str]) -> None:
        self._slots: dict[str, WaitingFrame[T] | None] = dict.fromkeys(cameras)
        self._replaced = dict.fromkeys(self._slots, 0)
        self._turn = list(self._slots)
        self._held: dict[str, WaitingFrame[T]] = {}  # frames that are being decoded, by camera
        self._released: set[str] = set()  # cameras whose held frame is decoded
        self._condition = threading.Condition()

    def put(self, frame: WaitingFrame[T]) -> None:
        """Store a frame; it replaces one that still waits."""
        with self._condition:
            if self._slots[frame.camera] is not None:
                self._replaced[frame.camera] += 1
            self._slots[frame.camera] = frame
            self._condition.notify()

    def add_replaced(self, camera: str, count: int) -> None:
        """Count frames that newer ones replaced before they arrived here."""
        with self._condition:
            self._replaced[camera] += count

    def take(self, timeout: float) -> WaitingFrame[T] | None:
        """Take the frame of the next camera in turn; None if there is none within ``timeout`` s."""
        with self._condition:
            if not self._condition.wait_for(self._any, timeout):
                return None
            camera = next(filter(self._has_frame, self._turn))
            self._turn.remove(camera)
            self._turn.append(camera)
            if camera in self._released:
                self._released.remove(camera)
                return self._held.pop(camera)
            frame, self._slots[camera] = self._slots[camera], None
            return frame

    def hold(self, frame: WaitingFrame[T]) -> None:
        """Give out no frame of this camera until this one, which was taken, is released."""
        with self._condition:
            self._held[frame.camera] = frame

    def release(self, frame: WaitingFrame[T]) -> None:
        """Give out a held frame again, before newer ones; does nothing if it was dropped since."""
        with self._condition:
            if self._held.get(frame.camera) is frame:
                self._released.add(frame.camera)
                self._condition.notify()

    def replaced(self, camera: str) -> int:
        """Return the number of frames of this camera that newer ones replaced."""
        with self._condition:
            return self._replaced[camera]

    def empty(self) -> None:
        """Drop the waiting and the held frames, and count them as replaced."""
        with self._condition:
            for camera in self._held:
                self._replaced[camera] += 1
            self._held.clear()
            self._released.clear()
            for camera, frame in self._slots.items():
                self._replaced[camera] += frame is not None
                self._slots[camera] = None

    def _any(self) -> bool:
        return any(map(self._has_frame, self._slots))

    def _has_frame(self, camera: str) -> bool:
        if camera in self._held:
            return camera in self._released
        return self._slots[camera] is not None
