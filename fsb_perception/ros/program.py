"""Start and end of a ROS program: arguments, signals, errors, exit status."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack

import rclpy
from rclpy.executors import ExternalShutdownException

from fsb_perception.errors import FsbError, error_line
from fsb_perception.ros import environment


def run_program(name: str, body: Callable[[ExitStack], int], args: list[str] | None = None) -> int:
    """Run ``body`` between the initialisation and the shutdown of ROS; return the exit status.

    Ctrl-C and SIGTERM end the body and give status 0. An error that the user can mend gives status
    1 and one line in the log; every other exception is raised.

    Args:
        name: of the logger that reports errors.
        body: makes the nodes and spins them. The stack that it gets is closed before ROS shuts
            down; it adds the clean-up of its nodes there.
        args: command-line arguments; None for those of the process.
    """
    environment.prepare()
    try:
        rclpy.init(args=args)
    except RuntimeError as error:  # a parameter file or an argument that cannot be read
        return _fail(name, error)
    cleanup = ExitStack()
    try:
        return body(cleanup)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except (FsbError, OSError, UnicodeError) as error:
        return _fail(name, error)
    except Exception:
        if rclpy.ok():  # otherwise a signal has shut ROS down in the middle of a call
            raise
        return 0
    finally:
        # ros2 launch sends the interrupt twice; the second one must not disturb the clean-up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        cleanup.close()
        rclpy.try_shutdown()


def _fail(name: str, error: Exception) -> int:
    rclpy.logging.get_logger(name).fatal(error_line(error))
    return 1
