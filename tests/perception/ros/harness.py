"""Shared by tests with real ROS processes: a node that spins, and waits with a limit."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import rclpy

from fsb_perception.ros import environment
from fsb_perception.ros.spinning import spinning_alone

# Importing takes seconds: one process runs a node's program several times.
_RUNS = """
import importlib, json, sys
module, runs = sys.argv[1:]
main = importlib.import_module(module).main
for words in json.loads(runs):
    print(f"status {main([module, '--ros-args', *words])}", file=sys.stderr, flush=True)
"""


def ends(module: str, runs: Sequence[Sequence[str]], folder: Path) -> list[tuple[str, int]]:
    """Return log and exit status of a node's program that ends by itself, for each run.

    Args:
        module: of the program, with a ``main``.
        runs: the words after ``--ros-args`` of each run.
        folder: in which the program runs.
    """
    done = subprocess.run(
        [sys.executable, "-c", _RUNS, module, json.dumps(runs)],
        cwd=folder,
        env=environment.children(os.environ)[0],
        capture_output=True,
        text=True,
        timeout=100,
    )
    log, *rest = re.split(r"^status (\d+)$", done.stderr, flags=re.MULTILINE)
    assert len(rest) == 2 * len(runs), done.stderr
    return [
        (text, int(status)) for text, status in zip([log, *rest[1::2]], rest[::2], strict=False)
    ]


def until(condition: Callable[[], Any], seconds: float = 60.0, what: Any = "") -> None:
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
