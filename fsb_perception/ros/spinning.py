"""Nodes whose callbacks run in a thread, while the program that made them goes on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

_END_LIMIT = 5.0  # s that a callback may still take when the block is left


@contextlib.contextmanager
def spinning(*nodes: Node) -> Iterator[SingleThreadedExecutor]:
    """Run the callbacks of ``nodes``, one at a time, until the block is left.

    The nodes are of one context. It ends with the block, and they with it.
    """
    context = nodes[0].context
    executor = SingleThreadedExecutor(context=context)
    for node in nodes:
        executor.add_node(node)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, name="executor", daemon=True)
    thread.start()
    try:
        yield executor
    finally:
        executor.shutdown()
        thread.join(_END_LIMIT)
        for node in nodes:
            node.destroy_node()
        # The default one is replaced only if it is not named: it must be there for another start.
        default = context is rclpy.get_default_context()
        rclpy.try_shutdown(context=None if default else context)
