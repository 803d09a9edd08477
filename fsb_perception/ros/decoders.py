"""Decoding in a thread of each camera, so that one camera's slow picture delays no other camera.

A picture of 50 megapixels takes seconds. The worker waits for `PATIENCE` alone; after that it
serves the other cameras, and the frame returns to the mailboxes once it is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet  # before Python 3.11, not the built-in one
from typing import Generic, TypeVar

from fsb_perception.ros.mailbox import Mailboxes, WaitingFrame
from fsb_perception.types import Image

PATIENCE = 0.05  # s; the pictures of most cameras take less

T = TypeVar("T")


class Decoders(Generic[T]):
    """One thread a camera that decodes its frames, one at a time.

    Args:
        cameras: their names.
        convert: turns the content of a frame into a picture; called in several threads at once.
        mailboxes: where the frames come from, and where late ones return.

    >>> decoders = Decoders(["front"], lambda content: content, Mailboxes(["front"]))
    >>> decoders.decode(WaitingFrame("front", "picture", arrival=0.0))
    'picture'
    >>> decoders.close()
    """

    def __init__(
        self, cameras: Iterable[str], convert: Callable[[T], Image], mailboxes: Mailboxes[T]
    ) -> None:
        self._convert, self._mailboxes = convert, mailboxes
        self._threads = {
            camera: ThreadPoolExecutor(1, thread_name_prefix=f"decode {camera}")
            for camera in cameras
        }
        self._late: dict[str, tuple[WaitingFrame[T], Future[Image]]] = {}

    def decode(self, frame: WaitingFrame[T]) -> Image | None:
        """Return the picture of a frame; None if it takes longer, and the frame returns later.

        Raises: whatever ``convert`` raises.
        """
        late = self._late.pop(frame.camera, None)
        if late is not None and late[0] is frame:
            return late[1].result()
        future = self._threads[frame.camera].submit(self._convert, frame.content)
        try:
            return future.result(PATIENCE)
        except NotYet:
            if future.done():  # it was finished in this moment, or the error is its own
                return future.result()
        self._late[frame.camera] = frame, future
        self._mailboxes.hold(frame)
        future.add_done_callback(lambda _: self._mailboxes.release(frame))
        return None

    def close(self) -> None:
        """Begin no more pictures; the threads end with their current ones."""
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)
        self._late.clear()
