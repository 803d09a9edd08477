"""One slot for each camera: the newest frame wins, and every one that gave way is counted."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Letter(Generic[T]):
    """A frame on its way to the worker.

    Attributes:
        camera: where it came from.
        content: the frame.
        arrival: when it came, in seconds of the steady clock.
    """

    camera: str
    content: T
    arrival: float


class Mailboxes(Generic[T]):
    """A one-slot mailbox for each camera, emptied in turn so that none starves.

    A queue would make every answer as old as the queue is long; a slot keeps the age of an answer
    below twice the time that one takes, however fast the camera is.
    """

    def __init__(self, cameras: Iterable[str]) -> None:
        self._slots: dict[str, Letter[T] | None] = dict.fromkeys(cameras)
        self._replaced = dict.fromkeys(self._slots, 0)
        self._turn = list(self._slots)
        self._condition = threading.Condition()

    def put(self, letter: Letter[T]) -> None:
        """Leave a frame; one that is still there gives way."""
        with self._condition:
            if self._slots[letter.camera] is not None:
                self._replaced[letter.camera] += 1
            self._slots[letter.camera] = letter
            self._condition.notify()

    def lose(self, camera: str, count: int) -> None:
        """Count frames that were sent but gave way before they came this far."""
        with self._condition:
            self._replaced[camera] += count

    def take(self, timeout: float) -> Letter[T] | None:
        """The frame of the camera whose turn it is; None if none comes within ``timeout`` s."""
        with self._condition:
            if not self._condition.wait_for(self._any, timeout):
                return None
            camera = next(name for name in self._turn if self._slots[name] is not None)
            self._turn.remove(camera)
            self._turn.append(camera)
            letter, self._slots[camera] = self._slots[camera], None
            return letter

    def replaced(self, camera: str) -> int:
        """How many frames of this camera gave way to newer ones."""
        with self._condition:
            return self._replaced[camera]

    def empty(self) -> None:
        """Drop what waits, and count it as given way."""
        with self._condition:
            for camera, letter in self._slots.items():
                self._replaced[camera] += letter is not None
                self._slots[camera] = None

    def clear(self) -> None:
        """Drop what waits and set all counts to zero."""
        with self._condition:
            for camera in self._slots:
                self._slots[camera], self._replaced[camera] = None, 0

    def _any(self) -> bool:
        return any(letter is not None for letter in self._slots.values())
