"""The rows of the page's tables, and what each number means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

_Json = Mapping[str, Any]
FEW = 10
"""Tracks, below which an interval is hardly worth reading."""


class Metric(NamedTuple):
    """A row of a table: key in the metrics, unit and meaning."""

    key: str
    unit: str
    meaning: str


METRICS = (
    Metric("track_accuracy", "%", "faces whose last answer was right, of those that had one"),
    Metric("track_coverage", "%", "faces that had an answer in the end; others were withheld"),
    Metric("look_accuracy", "%", "looks that are right by themselves, before any smoothing"),
    Metric(
        "balanced_accuracy", "%",
        "the same for each label by itself, then averaged: rare labels count like common ones",
    ),
    Metric(
        "macro_f1", "%",
        "as balanced accuracy, but wrong answers also count against the label that was said",
    ),
    Metric(
        "ece", "%",
        "calibration error: how far the confidence of looks is from how often they are right, on "
        "average; 0 is perfect",
    ),
    Metric(
        "flips_a_minute", "",
        "how often the answer about a face jumped from one label to another; 0 is calm",
    ),
    Metric(
        "seconds_to_stable", "s",
        "from the first sight of a face to its first stable answer; median of the faces that "
        "got one",
    ),
    Metric("settled", "%", "faces that got a stable answer, of all"),
    Metric("looks", "n", "that the truth speaks of"),
    Metric("tracks", "n", "faces followed that the truth speaks of"),
)  # fmt: skip

PEOPLE = (
    ("detection", Metric("recall", "%", "faces of the truth that were found")),
    ("detection", Metric("precision", "%", "finds that are faces of the truth")),
    ("detection", Metric("people", "n", "faces of the truth, over all images")),
    ("detection", Metric("false", "n", "finds where the truth has no face, over all images")),
    ("tracking", Metric("idf1", "%", "how well one face_id stays with one person")),
    ("tracking", Metric("id_switches", "n", "times a person got a new face_id")),
)


def number(value: float | None, unit: str = "") -> str:
    """A number for people; a dash for none.

    >>> number(1200, "n"), number(0.5), number(None)
    ('1,200', '0.50', '-')
    """
    if value is None:
        return "-"
    formats = {"%": f"{100 * value:.1f}\u00a0%", "n": f"{value:,.0f}", "": f"{value:,.2f}"}
    return formats.get(unit, f"{value:,.1f}\u00a0{unit}")


def span(metrics: _Json, key: str) -> str:
    """The 95 % interval of a metric; empty without one."""
    low, high = metrics.get(f"{key}_low"), metrics.get(f"{key}_high")
    return "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}\u00a0%"


def tasks(summary: _Json) -> dict[str, _Json]:
    """Metrics of every task."""
    metrics = summary.get("metrics", {})
    return {name: each for name, each in metrics.items() if "looks" in each}


class Slice(NamedTuple):
    """A part of the looks: how they are divided, which part, how often right, and of how many."""

    way: str
    part: str
    accuracy: float
    looks: int


def slices(metrics: _Json) -> Sequence[Slice]:
    """Parts of a task's looks, weakest first; ways that divide nothing are left out."""
    found = [
        Slice(way, part, each["look_accuracy"], each["looks"])
        for way, parts in metrics.get("slices", {}).items()
        if len(parts) > 1
        for part, each in parts.items()
    ]
    return sorted(found, key=lambda each: (each.accuracy, -each.looks))


_LOAD = (
    ("play", "rate", "pace, of the recorded one", ""),
    ("play", "published", "images played", "n"),
    ("play", "answered", "images answered", "n"),
    ("play", "dropped", "images without an answer", "n"),
    ("play", "drop_rate", "share without an answer", "%"),
    ("load", "cpu_mean", "processor cores in use, on average", ""),
    ("load", "memory_mib_last", "memory at the end", "MiB"),
    ("load", "memory_mib_a_minute", "memory gained a minute", "MiB"),
    ("load", "gpu_memory_mib_last", "GPU memory at the end", "MiB"),
    ("load", "gpu_memory_mib_a_minute", "GPU memory gained a minute", "MiB"),
)


def load_rows(summary: _Json) -> Iterator[tuple[str, float, str]]:
    """Name, value and unit of what playing at the recorded pace took."""
    for part, key, name, unit in _LOAD:
        value = (summary.get(part) or {}).get(key)
        if value is not None:
            yield name, value, unit


def trace(summary: _Json) -> Iterator[tuple[str, str]]:
    """Name and value of what the answers can be traced by."""
    yield "recording, sha256", summary["bag"]["sha256"]
    yield "topics", ", ".join(summary["topics"])
    yield "bundle", summary["bundle"]
    yield "mode", summary["mode"]
    yield "options, sha256", summary["config_sha256"]
    yield "code, version", summary["code"]["version"]
    yield "code, sha256", summary["code"]["sha256"]
    yield "results.jsonl, sha256", summary["results_sha256"]
