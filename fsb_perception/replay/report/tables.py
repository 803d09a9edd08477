"""The rows of the page's tables, from a summary.json."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fsb_perception.metric_words import METRICS, Metric, interval_text, value_text
from fsb_perception.replay.report.files import Json

FEW = 10
"""Number of tracks below which an interval says little."""

_TASK_METRICS = (
    "track_accuracy", "track_coverage", "look_accuracy", "balanced_accuracy", "macro_f1", "ece",
    "flips_a_minute", "seconds_to_stable", "settled", "looks", "tracks",
)  # fmt: skip
_PEOPLE_METRICS = (
    ("detection", "recall"), ("detection", "precision"), ("detection", "people"),
    ("detection", "false"), ("tracking", "idf1"), ("tracking", "id_switches"),
)  # fmt: skip
_LOAD_METRICS = (
    ("play", "rate"), ("play", "published"), ("play", "answered"), ("play", "dropped"),
    ("play", "drop_rate"), ("load", "cpu_mean"), ("load", "memory_mib_last"),
    ("load", "memory_mib_a_minute"), ("load", "gpu_memory_mib_last"),
    ("load", "gpu_memory_mib_a_minute"),
)  # fmt: skip
_TIMINGS = (
    ("decode", "from the message to pixels"),
    ("process", "from pixels to the answer; in the node, from the message"),
    ("wait", "from publishing the image to receiving the answer"),
)
_LATENCY = "from publishing to the answer, for the images that got one"


def tasks(summary: Json) -> dict[str, Json]:
    """Return the metrics of every task that was judged."""
    metrics = summary.get("metrics") or {}
    return {name: row for name, row in metrics.items() if "looks" in row}


def interval(metrics: Json, name: str) -> str:
    """Return the 95 % interval of a share as text; empty without one."""
    return interval_text(metrics.get(f"{name}_low"), metrics.get(f"{name}_high"))


class MetricRow(NamedTuple):
    """A metric, with its value and its interval as text for each task."""

    metric: Metric
    cells: Sequence[tuple[str, str]]


def metric_rows(summary: Json) -> list[MetricRow]:
    """Return one row for each metric of attributes."""
    judged = tasks(summary).values()
    return [
        MetricRow(
            METRICS[name],
            [(METRICS[name].text(row.get(name)), interval(row, name)) for row in judged],
        )
        for name in _TASK_METRICS
    ]


def people_rows(summary: Json) -> list[tuple[str, Metric, str]]:
    """Return part, metric and value for detection and tracking; empty if they were not judged."""
    metrics = summary.get("metrics") or {}
    if "detection" not in metrics:
        return []
    return [
        (part, METRICS[name], METRICS[name].text(metrics.get(part, {}).get(name)))
        for part, name in _PEOPLE_METRICS
    ]


class Slice(NamedTuple):
    """A part of the looks.

    Attributes:
        criterion: property by which the looks are divided.
        part: its value for these looks.
        accuracy: share of the looks that are right.
        looks: number of the looks.

    >>> small, large = {"look_accuracy": 0.6, "looks": 5}, {"look_accuracy": 0.9, "looks": 9}
    >>> slices({"slices": {"size": {"large": large, "small": small}}})[0]
    Slice(criterion='size', part='small', accuracy=0.6, looks=5)
    """

    criterion: str
    part: str
    accuracy: float
    looks: int


def slices(metrics: Json) -> Sequence[Slice]:
    """Return the parts of a task's looks, weakest first, of criteria with several parts."""
    rows = [
        Slice(criterion, part, row["look_accuracy"], row["looks"])
        for criterion, parts in metrics.get("slices", {}).items()
        if len(parts) > 1
        for part, row in parts.items()
    ]
    return sorted(rows, key=lambda row: (row.accuracy, -row.looks))


def timing_rows(summary: Json) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Yield step, meaning and the three percentiles as text, for each step that was timed."""
    latency = (summary.get("play") or {}).get("latency")
    steps = [(name, meaning, summary.get("timing", {}).get(name)) for name, meaning in _TIMINGS]
    for name, meaning, row in [*steps, ("latency", _LATENCY, latency)]:
        if row:
            percentiles = ("p50_ms", "p95_ms", "p99_ms")
            yield name, meaning, [METRICS[key].text(row.get(key)) for key in percentiles]


def load_rows(summary: Json) -> Iterator[tuple[str, str]]:
    """Yield name and value of each measure of a replay at the recorded pace."""
    for part, name in _LOAD_METRICS:
        value = (summary.get(part) or {}).get(name)
        if value is not None:
            yield METRICS[name].heading, METRICS[name].text(value)


def criteria_rows(summary: Json) -> list[tuple[str, str, bool]]:
    """Return demand, value and whether the demand is met; demands that are not met come first."""
    rows = [
        (
            f"{row['name']} {row['sign']} {row['value']}",
            "-" if row["found"] is None else f"{row['found']:.4g}",
            bool(row["met"]),
        )
        for row in summary.get("criteria") or ()
    ]
    return sorted(rows, key=lambda row: row[2])


class PersonRow(NamedTuple):
    """A person of the truth at one camera and task.

    >>> row = {"identity": "ada", "camera": "front", "task": "gender", "looks": 4, "right": 3}
    >>> person_rows({"people": [row]})
    [PersonRow(identity='ada', camera='front', task='gender', looks='4', accuracy=0.75)]
    """

    identity: str
    camera: str
    task: str
    looks: str
    accuracy: float


def person_rows(summary: Json) -> list[PersonRow]:
    """Return one row for each person, camera and task."""
    return [
        PersonRow(
            row["identity"], row["camera"], row["task"], value_text(row["looks"], "n"),
            row["right"] / max(row["looks"], 1),
        )
        for row in summary.get("people") or ()
    ]  # fmt: skip


def trace_rows(summary: Json) -> Iterator[tuple[str, str]]:
    """Yield name and value of everything that the answers depend on."""
    yield "recording, sha256", summary["bag"]["sha256"]
    yield "topics", ", ".join(summary["topics"])
    yield "bundle", summary["bundle"]
    yield "mode", summary["mode"]
    yield "options, sha256", summary["config_sha256"]
    yield "code, version", summary["code"]["version"]
    yield "code, sha256", summary["code"]["sha256"]
    yield "results.jsonl, sha256", summary["results_sha256"]
