"""The one family of errors that a user can mend, and their line on a terminal."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class FsbError(Exception):
    """Report a fault that the user can mend.

    The message says what was wrong, the value seen, and what to do. Programs catch this class and
    show the message alone; every other exception is a defect of FSB and keeps its traceback.

    >>> raise FsbError("--seconds: got -3; give a number above 0")
    Traceback (most recent call last):
    ...
    fsb_perception.errors.FsbError: --seconds: got -3; give a number above 0
    """


_MENDS = {
    errno.ENOSPC: "make room there, or name another folder",
    errno.EDQUOT: "make room there, or name another folder",
    errno.EROFS: "name a folder that can be written",
    errno.EACCES: "name a path that this user may use",
    errno.EPERM: "name a path that this user may use",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "check the path",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOTDIR: "name a folder, not a file",
}


def error_line(error: BaseException) -> str:
    """Return one line that says what was wrong and what to do.

    >>> error_line(FsbError("unknown task 'agee'. Did you mean 'age_group'?"))
    "unknown task 'agee'. Did you mean 'age_group'?"
    >>> error_line(OSError(errno.EROFS, "Read-only file system", "out/summary.json"))
    'out/summary.json: Read-only file system; name a folder that can be written'
    """
    if isinstance(error, OSError) and error.errno is not None:
        place = f"{error.filename}: " if error.filename else ""
        mend = f"; {_MENDS[error.errno]}" if error.errno in _MENDS else ""
        return f"{place}{error.strerror}{mend}"
    if isinstance(error, UnicodeError):
        return f"text that is not UTF-8: {error}; convert the file, or rename it"
    return str(error) or type(error).__name__


def visible(text: str) -> str:
    r"""Return a text whose control characters stand there as escapes, so that no terminal obeys.

    Line ends and tabs stay. Texts of manifests, servers, messages and file names may hold anything.

    >>> print(visible("nano \x1b[2J\u202e"))
    nano \u001b[2J\u202e
    """
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else _escaped(letter) for letter in text
    )


def _escaped(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


@contextmanager
def errors_in_one_line(program: str, *, debug: bool = False) -> Iterator[None]:
    """Turn an error that the user can mend into one line on stderr and exit status 2.

    Args:
        program: its name, which opens the line.
        debug: raise the error with its traceback instead.
    """
    try:
        yield
    except (FsbError, OSError, UnicodeError) as error:
        if debug:
            raise
        from rich.console import Console  # only now: this module is imported everywhere
        from rich.markup import escape

        line = f"[bold red]{program}:[/] {escape(visible(error_line(error)))}"
        Console(stderr=True, soft_wrap=True).print(line, highlight=False)
        raise SystemExit(2) from None
