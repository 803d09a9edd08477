"""The content of a report, as HTML and as Markdown; the templates show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsb_perception import __version__
from fsb_perception.files import write_whole
from fsb_perception.metric_words import Metric, interval_text
from fsb_perception.pages.page import write_page
from fsb_perception.pages.text import listed
from fsb_training.judging.intervals import Interval
from fsb_training.report import words
from fsb_training.report.collect import Choices, Section

HTML, MARKDOWN, PICTURES = "report.html", "report.md", "pictures"


@dataclass(frozen=True)
class Content:
    """Everything that both forms of a report show.

    Attributes:
        title: title of the page.
        question: heading of the page.
        version: version of FSB.
        specs: data sets and parts that were judged, in a sentence.
        sections: the bundles.
        summaries: sentences about each bundle, in the order of the sections.
        choices: choices of the user.
        has_dev: one of the parts is our own "dev".
        metrics: metrics that a result has.
        pictures: folder of the pictures, beside the Markdown file.
    """

    title: str
    question: str
    version: str
    specs: str
    sections: Sequence[Section]
    summaries: Sequence[Sequence[str]]
    choices: Choices
    has_dev: bool
    metrics: Sequence[Metric]
    pictures: str = PICTURES


def write_pages(out: Path, sections: Sequence[Section], choices: Choices) -> Path:
    """Write report.html, report.md and the pictures of the latter.

    Args:
        out: folder that gets them; its folder ``pictures`` must exist.
        sections: the bundles.
        choices: choices of the user.

    Returns:
        The path of the HTML file.

    Raises:
        FileError: a file cannot be written.
    """
    content = content_of(sections, choices)
    for name in (HTML, MARKDOWN):
        write_page(out / name, "fsb_training.report", f"{name}.j2", content, _FILTERS)
    for section in sections:
        for picture in section.pictures():
            write_whole(out / PICTURES / f"{picture.name}.svg", picture.svg)
    return out / HTML


def content_of(sections: Sequence[Section], choices: Choices) -> Content:
    """Gather the content of a report."""
    results = [result for section in sections for result in section.results]
    specs = list(dict.fromkeys(result.spec for result in results))
    names = list(dict.fromkeys(section.bundle.name for section in sections))
    verb = "does" if len(names) == 1 else "do"
    return Content(
        title=f"Report on {listed(names)}",
        question=f"How well {verb} {listed(names)} read faces?",
        version=__version__,
        specs=listed(specs),
        sections=sections,
        summaries=[words.summary(section) for section in sections],
        choices=choices,
        has_dev=any(spec.endswith(":dev") for spec in specs),
        metrics=words.metrics_of(results),
    )


def _limits(interval: Interval | None, unit: str = "%", digits: int | None = None) -> str:
    low, high = interval or (None, None)
    return interval_text(low, high, unit, digits)


_FILTERS: Mapping[str, Callable[..., str]] = {
    "cell": lambda text: str(text).replace("|", "/"),  # a bar would end a cell of Markdown
    "limits": _limits,
    "megabytes": words.megabytes,
    "milliseconds": lambda seconds: f"{1000 * seconds:.1f} ms",
    "points": words.points,
    "points_interval": words.points_interval,
}
