"""One run of the demo: start the nodes, show their answers, write the picture and the report."""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from fsb_perception.errors import FsbError
from fsb_perception.ros import environment
from fsb_perception.ros.demo.live_table import closing_table, live_table, print_line, status_line
from fsb_perception.ros.launching.graph import DEMO_NAMESPACE, GRAPHS, NodeSpec
from fsb_perception.ros.launching.processes import NodeProcess, NodeProcesses

if TYPE_CHECKING:
    from fsb_perception.ros.demo.listener import Listener

_NODE = "face_attributes"
_START_LIMIT = 180.0  # s until the first answer; a slow disk takes long to load torch
_START_PERIOD = 0.1  # s between two looks for it
_PICTURE_LIMIT = 6.0  # s to wait for the closing picture
_DISCOVERY = 0.7  # s in which another demo is discovered
_SHOW_PERIOD = 0.25  # s between two states of the table
_LOG_LINES = 12  # of a process that failed
_LOG_HEAD = re.compile(r"^\[\w+\] \[[\d.]+\] \[[^\]]*\]: ")  # level, time and node of a log line


class DemoError(FsbError):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True)
class DemoOptions:
    """The options of ``fsb demo``, as its help describes them."""

    source: str
    bundle: str
    device: str
    view: bool
    seconds: float | None
    report: Path | None
    picture: Path


def run_demo(options: DemoOptions, console: Console) -> None:
    """Start the nodes, show their answers until the end, write the picture and the report.

    Raises:
        DemoError: another demo is running, or a node has failed.
        FileError, PictureError: the picture or the report cannot be written.
    """
    specs = _specs(options, console)
    variables, note = environment.children(os.environ, processes=len(specs) + 1)
    os.environ.update(variables)
    if note:
        print_line(console, note)
    # Imported only now: ROS reads the variables while it is loaded.
    from fsb_perception.ros.demo.listener import listening

    with listening(DEMO_NAMESPACE) as listener:
        time.sleep(_DISCOVERY)
        _refuse_other_demos(listener, own=0)
        with NodeProcesses(specs, variables) as processes:
            session = _Session(listener, processes, console)
            with contextlib.suppress(KeyboardInterrupt):
                session.wait_for_first_answer()
                session.show_answers(options.seconds)
            with contextlib.suppress(KeyboardInterrupt):
                session.write_picture(options.picture)
        summary = listener.summary()
    console.print(closing_table(summary))
    print_line(console, status_line(summary))
    if options.report:
        summary.write(options.report)
        print_line(console, f"Report: {options.report}")


def _specs(options: DemoOptions, console: Console) -> tuple[NodeSpec, ...]:
    from fsb_perception.ros.window import display_shortage

    shortage = display_shortage() if options.view else ""
    if shortage:
        print_line(
            console, f"No window: {shortage}. See the table, and the picture written at the end."
        )
    return GRAPHS["demo"].nodes(
        source=options.source,
        bundle=options.bundle,
        device=options.device,
        view=str(options.view and not shortage).lower(),
    )


def _refuse_other_demos(listener: Listener, own: int) -> None:
    """Raise an error if there are more cameras in the demo's namespace than its own."""
    if listener.cameras() > own:
        domain = os.environ.get("ROS_DOMAIN_ID", "0")
        raise DemoError(
            f"another demo is running in ROS domain {domain}. End it, or choose another domain "
            "for this one: ROS_DOMAIN_ID=42 make demo"
        )


class _Session:
    """The part of a run in which the nodes are running."""

    def __init__(self, listener: Listener, processes: NodeProcesses, console: Console) -> None:
        self._listener, self._processes, self._console = listener, processes, console
        self._window_failed = False

    def wait_for_first_answer(self) -> None:
        """Show the log of the node until its first answer comes."""
        print_line(
            self._console, "Starting the camera and the node; the first start takes a while."
        )
        node = self._processes[_NODE]
        deadline = time.monotonic() + _START_LIMIT
        shown = _newest_line(node)
        with self._console.status("waiting for the node ...") as spinner:
            while not self._listener.processed:
                self._window_closed()
                if time.monotonic() > deadline:
                    raise _failure(node, f"no answer in {_START_LIMIT:g} s")
                line = _newest_line(node)
                if line != shown:
                    shown = line
                    spinner.update(f"waiting for the node: {line}")
                    if not self._console.is_terminal:
                        print_line(self._console, f"  {line}")
                time.sleep(_START_PERIOD)

    def show_answers(self, seconds: float | None) -> None:
        """Show the answers for so many seconds, or until Ctrl-C or the end of the window."""
        start = time.monotonic()
        if seconds is None:
            print_line(self._console, "Ctrl-C ends the demo, as does q in its window.")
        with live_table(self._console) as show:
            while seconds is None or time.monotonic() - start < seconds:
                time.sleep(min(_SHOW_PERIOD, seconds or _SHOW_PERIOD))
                if self._window_closed():
                    return
                show(self._listener.summary(), time.monotonic() - start)

    def write_picture(self, path: Path) -> None:
        """Write the next answered image with its faces, if one comes in time."""
        from fsb_perception.images.annotate import annotate
        from fsb_perception.images.files import write_picture

        answered = self._listener.take_picture(_PICTURE_LIMIT) if self._listener.processed else None
        if answered is None:
            print_line(
                self._console, "No picture was written: no image came with its answer at the end."
            )
            return
        write_picture(path, annotate(*answered))
        print_line(self._console, f"Annotated picture: {path.resolve()}")

    def _window_closed(self) -> bool:
        """Return whether the user has closed the window.

        Raises:
            DemoError: another demo has started, or the camera or the node has ended.
        """
        _refuse_other_demos(self._listener, own=1)
        for process in self._processes.ended():
            if not process.spec.ends_all:
                raise _failure(process, f"ended with status {process.status}")
            if process.status == 0:
                return True
            if not self._window_failed:
                self._window_failed = True
                print_line(
                    self._console,
                    f"The window ended with status {process.status}; the demo goes on without it.",
                )
        return False


def _failure(process: NodeProcess, reason: str) -> DemoError:
    lines = "\n".join(f"  {line}" for line in process.last_lines(_LOG_LINES))
    return DemoError(f"{process.spec.name}: {reason}. Its last log lines:\n{lines or '  (none)'}")


def _newest_line(process: NodeProcess) -> str:
    lines = process.last_lines(1)
    return _LOG_HEAD.sub("", lines[0]) if lines else "starting"
