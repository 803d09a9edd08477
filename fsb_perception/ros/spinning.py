"""Nodes whose callbacks run in a thread, while the program that made them goes on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from fsb_perception.ros import shared_memory

_END_LIMIT = 5.0  # s that a callback may still take when the block is left

NodeT = TypeVar("NodeT", bound=Node)


@contextlib.contextmanager
def spinning(*nodes: Node) -> Iterator[SingleThreadedExecutor]:
    """Run the callbacks of ``nodes``, one at a time, until the block is left.

    The nodes share one context. The end of the block destroys the nodes and shuts the context down.
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
        # rclpy replaces its default context, for another init, only if the argument is None.
        default = context is rclpy.get_default_context()
        rclpy.try_shutdown(context=None if default else context)


@contextlib.contextmanager
def spinning_alone(make: Callable[[Context], NodeT]) -> Iterator[NodeT]:
    """Make a node in a new context, and run its callbacks in a thread until the block is left.

    No signal handler is installed: Ctrl-C is handled by the program, which still has to clean up.

    Args:
        make: makes the node in the given context. It is a new one because ROS initialises none
            twice.
    """
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = make(context)
        shared_memory.protect()
    except BaseException:
        rclpy.try_shutdown(context=context)
        raise
    with spinning(node):
        yield node
