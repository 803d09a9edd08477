"""Messages between the thread that receives them and the one that writes them."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass

MEGABYTE = 1_000_000
_MOST_WAITING = 256 * MEGABYTE


@dataclass(frozen=True)
class ReceivedMessage:
    """A message as it was received.

    Attributes:
        topic: where it was published.
        received: when it came, in nanoseconds of the system's clock.
        data: CDR, with its header of four bytes.
    """

    topic: str
    received: int
    data: bytes


class Backlog:
    """A queue of messages, limited by their bytes: a slow disk must not fill the memory.

    Args:
        most_bytes: that may wait. A message that comes while it is full is lost and counted.

    Attributes:
        lost: messages by topic, here and in the middleware.

    >>> backlog = Backlog(most_bytes=3)
    >>> for number in range(2):
    ...     backlog.put(ReceivedMessage("/image", number, b"12"))
    >>> backlog.get().received, backlog.lost["/image"]
    (0, 1)
    """

    def __init__(self, most_bytes: int = _MOST_WAITING) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._waiting: deque[ReceivedMessage] = deque()
        self._changed = threading.Condition()
        self.lost: Counter[str] = Counter()

    def put(self, message: ReceivedMessage) -> None:
        """Add a message, or count it as lost."""
        with self._changed:
            if self._waiting and self._bytes + len(message.data) > self._most:
                self.lost[message.topic] += 1
                return
            self._bytes += len(message.data)
            self._waiting.append(message)
            self._changed.notify()

    def get(self, seconds: float = 0.0) -> ReceivedMessage | None:
        """Remove and return the oldest message; None if none comes within ``seconds``."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, seconds):
                return None
            message = self._waiting.popleft()
            self._bytes -= len(message.data)
            return message
