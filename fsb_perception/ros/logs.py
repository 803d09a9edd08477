"""Log lines of the node: those of the core, and errors that rclpy does not log."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeAlias

from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.lifecycle import State, TransitionCallbackReturn

Transition: TypeAlias = Callable[[Any, State], TransitionCallbackReturn]


class _Forwarder(logging.Handler):
    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__(logging.INFO)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        # One call site a level: rclpy refuses a site whose level changes.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)


@contextmanager
def forward_logs(source: logging.Logger, logger: RcutilsLogger) -> Iterator[None]:
    """Copy the records of ``source`` to the log of a node until the block is left."""
    handler = _Forwarder(logger)
    level = source.level
    source.addHandler(handler)
    source.setLevel(logging.INFO)
    try:
        yield
    finally:
        source.removeHandler(handler)
        source.setLevel(level)


def log_errors(transition: Transition) -> Transition:
    """Decorate a lifecycle transition: log what it raises, which rclpy turns into a mere state."""

    @wraps(transition)
    def logged(self: Any, state: State) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except Exception:
            if self.context.ok():  # otherwise a signal has shut ROS down meanwhile
                self.get_logger().error(f"{transition.__name__} failed:\n{traceback.format_exc()}")
            raise

    return logged
