"""Images that were published to a node, each until its answer came or can no longer come.

A node answers the images of one camera in order. So an image is dropped once a later image of its
camera has been answered, or when no answer came within the time that any answer could take.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from fsb_perception.replay.bags.reader import Frame

_AnswerT = TypeVar("_AnswerT")


@dataclass
class Sent(Generic[_AnswerT]):
    """An image that was published.

    Attributes:
        frame: the image.
        at: time of publishing, in seconds of the steady clock.
        answer: the message that answered it, if one did.
        wait: seconds from publishing to receiving the answer.
        dropped: a later image of the same camera has been answered.
    """

    frame: Frame
    at: float
    answer: _AnswerT | None = None
    wait: float = 0.0
    dropped: bool = False

    @property
    def settled(self) -> bool:
        """True if the image was answered or dropped."""
        return self.dropped or self.answer is not None


class Ledger(Generic[_AnswerT]):
    """Published images in order; it holds at most ``limit`` seconds of them.

    Args:
        limit: seconds after which no answer is expected any more.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._sent: deque[Sent[_AnswerT]] = deque()

    def __len__(self) -> int:
        return len(self._sent)

    def note_sent(self, frame: Frame, at: float) -> None:
        """Note an image that is published at ``at``."""
        self._sent.append(Sent(frame, at))

    def note_answer(self, camera: str, stamp: int, answer: _AnswerT, at: float) -> bool:
        """Note an answer, and drop the images of its camera before it.

        Returns:
            False if no image waits for the answer, because it comes too late.
        """
        waiting = [s for s in self._sent if s.frame.topic.camera == camera and not s.settled]
        place = next((i for i, sent in enumerate(waiting) if sent.frame.stamp == stamp), None)
        if place is None:
            return False
        for passed in waiting[:place]:
            passed.dropped = True
        waiting[place].answer, waiting[place].wait = answer, at - waiting[place].at
        return True

    def take_settled(self, now: float) -> Iterator[Sent[_AnswerT]]:
        """Remove and yield the images that are settled or too old, in the order of publishing."""
        while self._sent and (self._sent[0].settled or now - self._sent[0].at > self._limit):
            yield self._sent.popleft()
