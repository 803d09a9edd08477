"""Log lines of the node: those of the core, and errors that rclpy does not log."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeAlias

from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.lifecycle import State, TransitionCallbackReturn

_FIRST_PAUSE, _LONGEST_PAUSE, _QUIET = 5.0, 600.0, 60.0  # s between log lines

Transition: TypeAlias = Callable[[Any, State], TransitionCallbackReturn]


class Backoff:
    """Decides which of repeated log lines are written: fewer and fewer, up to one in ten minutes.

    A subject that was silent for longer than its last pause, and a minute at least, starts again.

    >>> backoff = Backoff()
    >>> [second for second in range(0, 60) if backoff.is_due("front", now=second)]
    [0, 5, 15, 35]
    """

    def __init__(self) -> None:
        self._written: dict[str, tuple[float, float]] = {}  # time of the last line, and its pause

    def is_due(self, subject: str, now: float | None = None) -> bool:
        """Return whether a line about a subject is written now.

        Args:
            subject: one of few, such as the name of a camera.
            now: in seconds of a steady clock; None for the present time.
        """
        now = time.monotonic() if now is None else now
        written, pause = self._written.get(subject, (-_QUIET, 0.0))
        if now - written < pause:
            return False
        quiet = now - written >= pause + _QUIET
        following = _FIRST_PAUSE if quiet else min(2 * pause, _LONGEST_PAUSE)
        self._written[subject] = now, following
        return True


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
