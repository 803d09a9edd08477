"""t-SNE maps of the features of several systems, drawn from their records, beside the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fsb_perception.files import write_whole
from fsb_perception.pages.text import plain
from fsb_training.experiments import markdown
from fsb_training.experiments.plan import slug
from fsb_training.experiments.records import Record, unpack_map
from fsb_training.report import figures
from fsb_training.report.features import FeatureMap

FOLDER = "results"
"""Folder of the pictures, beside the page."""


def map_table(records: Iterable[Record]) -> str:
    """Build a table of links to the maps that are drawn: one column a system, one row a task."""
    shown = _mapped(records)
    if not shown:
        return markdown.NOT_RUN
    header = ("", *(record.system for record in shown))
    rows = [(plain(task), *(_link(record, task) for record in shown)) for task in shown[0].tasks]
    return markdown.table(header, rows)


def draw_maps(records: Iterable[Record], folder: Path) -> None:
    """Write every map as an SVG file.

    Raises:
        FileError: a file cannot be written.
    """
    for record in _mapped(records):
        folder.mkdir(parents=True, exist_ok=True)
        for task, packed in record.maps.items():
            picture = figures.feature_map(FeatureMap(task, *unpack_map(packed)))
            write_whole(folder / _file(record, task), picture.svg)


def _mapped(records: Iterable[Record]) -> Sequence[Record]:
    return sorted((r for r in records if r.maps), key=lambda record: record.system)


def _link(record: Record, task: str) -> str:
    faces = len(unpack_map(record.maps[task])[1])
    alt = f"t-SNE of {record.system}, {faces} faces coloured by {plain(task)}"
    return f"![{alt}]({FOLDER}/{_file(record, task)})"


def _file(record: Record, task: str) -> str:
    return f"tsne-{slug(record.system)}-{task}.svg"
