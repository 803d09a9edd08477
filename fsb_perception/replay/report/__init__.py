"""The page of one replay, `report.html` in the folder of its answers, for readers without FSB."""

from __future__ import annotations

from pathlib import Path

from fsb_perception.replay.report.collect import collect
from fsb_perception.replay.report.page import write

__all__ = ["REPORT", "write_report"]

REPORT = "report.html"


def write_report(folder: Path) -> Path:
    """Write the page of a replay from the files of the replay alone.

    The same files give the same page, byte for byte. The page holds its plots and its style, asks
    the network for nothing, and has no image of a person.

    Args:
        folder: holds summary.json, results.jsonl, timing.jsonl and, of a replay in real time,
            load.jsonl.

    Returns:
        The path of the page.

    Raises:
        BagError: the folder holds no whole replay, or a line of it is damaged.
        FileError: the page cannot be written.
    """
    path = folder / REPORT
    write(path, collect(folder))
    return path
