"""An executor that outlives a shortage of memory: one message is lost and counted, not the node."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.subscription import Subscription

_REST = 0.05  # s after a shortage, so that a message that stays does not take the whole core


class SparingExecutor(SingleThreadedExecutor):
    """Runs callbacks as its base does; a message for which memory does not suffice is dropped.

    rclpy would raise the error out of `spin`, after which the callback group never runs again.

    Args:
        on_shortage: called with the topic of a message that could not be received.
        options: of `rclpy.executors.SingleThreadedExecutor`.
    """

    def __init__(self, on_shortage: Callable[[str], None], **options: Any) -> None:
        super().__init__(**options)
        self._on_shortage = on_shortage

    def _take_subscription(
        self, sub: Subscription[Any]
    ) -> Callable[[], Coroutine[None, None, None]] | None:
        try:
            return super()._take_subscription(sub)
        except MemoryError:
            self._on_shortage(sub.topic_name)
            time.sleep(_REST)
            return None

    def spin(self) -> None:
        """Run callbacks until ROS shuts down; one that lacks memory ends alone."""
        while not self._spin_until_shortage():
            time.sleep(_REST)

    def _spin_until_shortage(self) -> bool:
        """Run callbacks; return False after one that lacked memory, True at the end."""
        try:
            super().spin()
        except MemoryError:
            self._on_shortage("")
            return False
        return True
