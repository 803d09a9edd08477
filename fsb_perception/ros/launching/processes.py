"""Node processes that end with the program that started them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from fsb_perception.ros.launching.graph import NodeSpec

_LINES_KEPT = 200

# What is sent to a process that should end, and how long it may take, in seconds.
_ENDINGS = ((signal.SIGINT, 6.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))


class NodeProcess:
    """One running node and the newest lines of its log.

    Args:
        spec: what to start.
        environ: the whole environment of the process.
    """

    def __init__(self, spec: NodeSpec, environ: Mapping[str, str]) -> None:
        self.spec = spec
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        # In a session of its own, Ctrl-C reaches the parent alone, which ends it in good order.
        self._process = subprocess.Popen(
            [*_tied_to_parent(), *spec.command()],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"{spec.name} log", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line.rstrip())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def last_lines(self, count: int) -> list[str]:
        """The newest lines it wrote, oldest first."""
        if self.status is not None:
            self._reader.join(timeout=1.0)  # the last words often come with the end
        return [line for line in list(self._lines) if line][-count:]

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.status is None:
            self._process.send_signal(number)

    def wait_until(self, deadline: float) -> bool:
        """Whether it ended before the time ``deadline`` of the monotonic clock."""
        try:
            self._process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Let go of its log, after it ended."""
        self._reader.join(timeout=1.0)
        assert self._process.stdout is not None
        self._process.stdout.close()


class NodeProcesses:
    """Several nodes, started together and, whatever happens, ended together.

    >>> with NodeProcesses(graph.nodes(), environ) as processes:      # doctest: +SKIP
    ...     processes.ended()
    """

    def __init__(self, specs: Iterable[NodeSpec], environ: Mapping[str, str]) -> None:
        self._specs = tuple(specs)
        self._environ = environ
        self._running: list[NodeProcess] = []

    def __enter__(self) -> NodeProcesses:
        try:
            for spec in self._specs:
                self._running.append(NodeProcess(spec, self._environ))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __getitem__(self, name: str) -> NodeProcess:
        return next(process for process in self._running if process.spec.name == name)

    def ended(self) -> list[NodeProcess]:
        """Those that are no longer running."""
        return [process for process in self._running if process.status is not None]

    def stop(self) -> None:
        """End them all: asked first, then told, then killed; at most some twelve seconds.

        Ctrl-C is not heard meanwhile: half a clean-up is none.
        """
        before = _ignore_interrupts()
        try:
            self._end_all()
        finally:
            if before is not None:
                signal.signal(signal.SIGINT, before)

    def _end_all(self) -> None:
        for number, seconds in _ENDINGS:
            deadline = time.monotonic() + seconds
            for process in self._running:
                process.send(number)
            if all(process.wait_until(deadline) for process in self._running):
                break
        for process in self._running:
            process.close()
        self._running.clear()


def _ignore_interrupts() -> Any:
    """Ignore Ctrl-C; what was done at it before, or None outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGINT, signal.SIG_IGN)


def _tied_to_parent() -> Sequence[str]:
    """What to put before a command so that the kernel ends it when its parent dies."""
    setpriv = shutil.which("setpriv")  # of util-linux, which Debian and Ubuntu always have
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
