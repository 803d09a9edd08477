"""One page about one replay, for people who were not there: `report.html`, in the bag's folder."""

from __future__ import annotations

from pathlib import Path

from fsb_perception.replay.report.collect import collect
from fsb_perception.replay.report.page import as_html

__all__ = ["REPORT", "write_report"]

REPORT = "report.html"


def write_report(folder: Path) -> Path:
    """Write the page of a replay, from what the replay wrote and nothing else.

    The same files give the same page, byte for byte. It holds its plots and its style, asks the
    network for nothing, and has no image of anybody.

    Args:
        folder: with summary.json, results.jsonl, timing.jsonl and, of real time, load.jsonl.

    Returns:
        The page.

    Raises:
        BagError: there is no whole replay in the folder, or a line of it is damaged.
    """
    path = folder / REPORT
    path.write_text(as_html(collect(folder)), encoding="utf-8")
    return path
