"""A report on bundles: one HTML file that works offline, the same as Markdown, and the numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fsb_perception.bundles.bundle import Bundle
from fsb_perception.files import write_whole
from fsb_perception.inference.config import EngineConfig
from fsb_perception.options import OptionError
from fsb_perception.progress import SILENT, Progress
from fsb_training.data.faces import Source
from fsb_training.report.collect import Choices, collect
from fsb_training.report.pages import PICTURES, write_pages
from fsb_training.report.words import summary

__all__ = ["Choices", "check_folder", "write_report"]

NUMBERS = "report.json"


def check_folder(out: Path) -> None:
    """Make the report's folder, before anything is measured.

    Raises:
        OptionError: the folder cannot be made.
    """
    try:
        (out / PICTURES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"cannot write the report to {out}: {error.strerror}") from None


def write_report(
    out: Path,
    bundles: Sequence[Bundle],
    sources: Sequence[Source],
    config: EngineConfig,
    choices: Choices | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Measure bundles on labelled faces, and write the report.

    Args:
        out: folder that gets report.html, report.md with the folder pictures, and report.json.
        bundles: one bundle or more.
        sources: labelled faces.
        config: options of the engine that judges the bundles and is timed.
        choices: choices of the user.
        progress: shows the faces that are judged.

    Returns:
        The path of the HTML file.

    Raises:
        OptionError: the folder cannot be made, or no face has a label of a bundle's tasks.
        FileError: a file cannot be written.
    """
    check_folder(out)
    choices = choices or Choices()
    sections = [
        collect(number, bundle, sources, config, choices, progress)
        for number, bundle in enumerate(bundles, 1)
    ]
    page = write_pages(out, sections, choices)
    numbers = {
        section.bundle.bundle_id: section.to_json() | {"summary": summary(section)}
        for section in sections
    }
    write_whole(out / NUMBERS, json.dumps(numbers, indent=2) + "\n")
    return page
