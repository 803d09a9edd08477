"""A report on bundles: one HTML file that works offline, the same as Markdown, and the numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fsb_perception.bundles.bundle import Bundle
from fsb_perception.inference.engine import EngineConfig
from fsb_perception.options import OptionError
from fsb_training.data.faces import Source
from fsb_training.report.collect import Choices, collect
from fsb_training.report.pages import as_html, as_markdown, picture_files
from fsb_training.report.words import summary

__all__ = ["Choices", "check_folder", "write_report"]

HTML, MARKDOWN, NUMBERS, PICTURES = "report.html", "report.md", "report.json", "pictures"


def check_folder(out: Path) -> None:
    """Make the report's folder; refuse one that cannot be, before anything is measured."""
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
) -> Path:
    """Measure ``bundles`` on the faces of ``sources``, and write what was found.

    Args:
        out: folder that gets report.html, report.md with the folder pictures, and report.json.
        bundles: one or more.
        sources: what they are judged on.
        config: of the engine that judges them and is timed.
        choices: what else is to be in it.

    Returns:
        The HTML file.
    """
    check_folder(out)
    choices = choices or Choices()
    sections = [collect(bundle, sources, config, choices) for bundle in bundles]
    (out / HTML).write_text(as_html(sections, choices), encoding="utf-8")
    (out / MARKDOWN).write_text(as_markdown(sections, choices, PICTURES), encoding="utf-8")
    for name, svg in picture_files(sections).items():
        (out / PICTURES / name).write_bytes(svg)
    numbers = {
        each.bundle.bundle_id: each.to_json() | {"summary": summary(each)} for each in sections
    }
    (out / NUMBERS).write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return out / HTML
