"""Node processes that end with the program that started them."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType

from fsb_perception.ros.launching.graph import NodeSpec

_LINES_KEPT = 200

# The signals that end a process, and the seconds that each one is given.
_ENDINGS = ((signal.SIGINT, 6.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))


class NodeProcess:
    """A running node and the newest lines of its log.

    Args:
        spec: of the node.
        environ: the whole environment of the process.
    """

    def __init__(self, spec: NodeSpec, environ: Mapping[str, str]) -> None:
        self.spec = spec
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        # In a session of its own, it gets no Ctrl-C: the parent does, and stops it in good order.
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
        """Process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def last_lines(self, count: int) -> list[str]:
        """Return the newest lines of its output, at most ``count``, the oldest first."""
        if self.status is not None:
            self._reader.join(timeout=1.0)  # the last lines often come with the end
        return [line for line in list(self._lines) if line][-count:]

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.status is None:
            self._process.send_signal(number)

    def wait_until(self, deadline: float) -> bool:
        """Return whether it ended before ``deadline``, in seconds of the monotonic clock."""
        try:
            self._process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Close its log after it has ended."""
        self._reader.join(timeout=1.0)
        assert self._process.stdout is not None
        self._process.stdout.close()


class NodeProcesses:
    """Several nodes that start together and always end together.

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
        """Return the processes that no longer run."""
        return [process for process in self._running if process.status is not None]

    def stop(self) -> None:
        """End all processes by SIGINT, then SIGTERM, then SIGKILL, within about twelve seconds.

        Ctrl-C is ignored meanwhile, so that it cannot interrupt the clean-up.
        """
        with _interrupts_ignored():
            self._end_all()

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


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may change the handler
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        if handler is not None:  # None stands for a handler that Python did not install
            signal.signal(signal.SIGINT, handler)


def _tied_to_parent() -> Sequence[str]:
    """Return the start of a command line, so that the kernel ends the child with its parent."""
    setpriv = shutil.which("setpriv")  # of util-linux, which Debian and Ubuntu always have
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
