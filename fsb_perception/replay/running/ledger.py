"""Images that were played, each until it has been answered or will not be any more.

A node answers the images of one camera in order. So an image is dropped once a later one of its
camera has been answered, or when nothing has come for it in the time that any answer could take.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fsb_perception.replay.bags.reader import Frame


@dataclass
class Sent:
    """An image on its way.

    Attributes:
        frame: what was published.
        at: when, in seconds of the steady clock.
        answer: the message that came for it, if one did.
        wait: seconds from publishing to hearing.
        dropped: a later one has been answered.
    """

    frame: Frame
    at: float
    answer: Any = None
    wait: float = 0.0
    dropped: bool = False

    @property
    def settled(self) -> bool:
        """Whether its fate is known."""
        return self.dropped or self.answer is not None


class Ledger:
    """What was sent, in order; its length is bounded by ``limit`` seconds of images.

    Args:
        limit: after how many seconds no answer is expected any more.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._sent: deque[Sent] = deque()

    def __len__(self) -> int:
        return len(self._sent)

    def send(self, frame: Frame, at: float) -> None:
        """Note an image that is published now."""
        self._sent.append(Sent(frame, at))

    def hear(self, camera: str, stamp: int, answer: Any, at: float) -> bool:
        """Note an answer; False if no image waits for it, because it comes too late."""
        waiting = [s for s in self._sent if s.frame.topic.camera == camera and not s.settled]
        place = next((i for i, sent in enumerate(waiting) if sent.frame.stamp == stamp), None)
        if place is None:
            return False
        for passed in waiting[:place]:
            passed.dropped = True
        waiting[place].answer, waiting[place].wait = answer, at - waiting[place].at
        return True

    def settled(self, now: float) -> Iterator[Sent]:
        """Take out those whose fate is known, in the order in which they were sent."""
        while self._sent and (self._sent[0].settled or now - self._sent[0].at > self._limit):
            yield self._sent.popleft()
