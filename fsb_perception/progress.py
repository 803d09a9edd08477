"""Progress of long work: a library function reports it, and a program chooses how it is shown.

A function that takes long has an argument ``progress``. By default that is `SILENT`, which shows
nothing; a command hands over `TerminalProgress`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Display
    from rich.progress import TaskID

T = TypeVar("T")


class Bar:
    """The progress of one loop; this one is not shown."""

    def advance(self, count: int = 1) -> None:
        """Report that ``count`` more items are done."""

    def note(self, text: str) -> None:
        """Replace the text beside the bar, for instance the loss of the last step."""


class Progress:
    """Where long work reports to; this one shows nothing.

    >>> with Progress().bar("faces", total=2) as bar:
    ...     bar.advance()
    >>> list(Progress().track("pictures", ["a.jpg", "b.jpg"]))
    ['a.jpg', 'b.jpg']
    """

    @contextmanager
    def bar(self, title: str, total: int | None, done: int = 0) -> Iterator[Bar]:
        """Report on ``total`` items, ``done`` of which were finished before.

        Args:
            title: names the loop.
            total: number of all items; None if unknown.
            done: number of those that an earlier run has finished.
        """
        del title, total, done
        yield Bar()

    def track(self, title: str, items: Iterable[T], total: int | None = None) -> Iterator[T]:
        """Yield ``items`` and report each one when the caller comes back for the next.

        Args:
            title: names the loop.
            items: what is looped over.
            total: its length; unknown if None, unless ``items`` is a sequence.
        """
        if total is None and isinstance(items, Sequence):
            total = len(items)
        with self.bar(title, total) as bar:
            for item in items:
                yield item
                bar.advance()


SILENT = Progress()
"""Shows nothing: the default of every library function."""


class TerminalProgress(Progress):
    """Bars on a terminal, which stay there when they are full; nothing where output goes to a file.

    Log lines of the same console appear above the bars.

    Args:
        console: of the terminal, the one that log lines go to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._display: Display | None = None

    @contextmanager
    def bar(self, title: str, total: int | None, done: int = 0) -> Iterator[Bar]:
        """Show a bar; one that begins within another stands below it."""
        if self._display is not None:
            yield _TerminalBar(self._display, title, total, done)
            return
        with _display(self._console) as self._display:
            try:
                yield _TerminalBar(self._display, title, total, done)
            finally:
                self._display = None


class _TerminalBar(Bar):
    def __init__(self, display: Display, title: str, total: int | None, done: int) -> None:
        self._display = display
        self._task: TaskID = display.add_task(title, total=total, completed=done, note="")

    def advance(self, count: int = 1) -> None:
        self._display.advance(self._task, count)

    def note(self, text: str) -> None:
        self._display.update(self._task, note=text)


def _display(console: Console) -> Display:
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}", markup=False),
        console=console,
        refresh_per_second=2,
        disable=not console.is_terminal,
        # A forked worker inherits the streams; through the display's lock it could wait forever.
        redirect_stdout=False,
        redirect_stderr=False,
    )
