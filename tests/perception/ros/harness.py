"""Shared by tests with real ROS processes: a node that spins, and waits with a limit."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import rclpy

from fsb_perception.ros import environment
from fsb_perception.ros.spinning import spinning_alone


def until(condition: Callable[[], Any], seconds: float = 20.0, what: Any = "") -> None:
    """Wait for a condition; fail after ``seconds`` with the text ``what``, or what it returns."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what() if callable(what) else what or "timed out"
        time.sleep(0.02)


@contextlib.contextmanager
def spinning_node(name: str) -> Iterator[Any]:
    """Run a node in a context of its own, with its callbacks in a thread."""
    os.environ.update(environment.prefixes(os.environ))
    with spinning_alone(lambda context: rclpy.create_node(name, context=context)) as node:
        yield node
