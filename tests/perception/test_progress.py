"""Progress: bars on a terminal, nothing elsewhere, and the same items either way."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fsb_perception.progress import SILENT, Progress, TerminalProgress


def terminal(is_terminal: bool) -> tuple[Console, io.StringIO]:
    output = io.StringIO()
    return Console(file=output, force_terminal=is_terminal, width=120), output


def nested(progress: Progress) -> list[str]:
    with progress.bar("outer [loop]", 4, done=1) as bar:
        items = list(progress.track("inner", ["a", "b"]))
        bar.advance(3)
        bar.note("loss 0.5")
    return items


def test_a_terminal_shows_titles_counts_and_notes() -> None:
    console, output = terminal(True)
    assert nested(TerminalProgress(console)) == ["a", "b"]
    for text in ("outer [loop]", "4/4", "inner", "2/2", "loss 0.5"):
        assert text in output.getvalue()


def test_a_bar_may_follow_another() -> None:
    console, output = terminal(True)
    progress = TerminalProgress(console)
    for title in ("first", "second"):
        assert list(progress.track(title, iter([1, 2]), 2)) == [1, 2]
    assert "first" in output.getvalue()
    assert "second" in output.getvalue()


def test_a_file_gets_no_bars() -> None:
    console, output = terminal(False)
    assert nested(TerminalProgress(console)) == ["a", "b"]
    assert output.getvalue().strip() == ""


def test_an_error_ends_the_bars() -> None:
    console, _ = terminal(True)
    progress = TerminalProgress(console)
    with pytest.raises(ValueError, match="broken"), progress.bar("faces", 2):
        raise ValueError("broken")
    assert nested(progress) == nested(SILENT)
