"""The content of the page of a replay, which `templates/replay.html.j2` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsb_perception.metric_words import Metric
from fsb_perception.options import flatten
from fsb_perception.pages.drawing import Picture
from fsb_perception.pages.page import write_page
from fsb_perception.pages.text import counted, plain
from fsb_perception.replay.report import faces, figures, tables, words
from fsb_perception.replay.report.collect import Camera, Replay, Track
from fsb_perception.replay.report.files import Json
from fsb_perception.replay.report.lanes import part_seconds

_MOST_PERSONS = 200  # rows


@dataclass(frozen=True)
class CameraPart:
    """A camera in the part over time: its summary, its plot, and the faces that have a lane."""

    name: str
    summary: str
    plot: Picture
    shown: Sequence[Track]


@dataclass(frozen=True)
class Content:
    """Everything on the page, in its order.

    Attributes:
        title: of the page.
        version: of FSB.
        verdict: see `words.verdict`.
        story, problems: sentences; see `words`.
        criteria, metric_rows, people_rows, person_rows, timing_rows, load_rows, trace_rows: rows
            of tables; see `tables`.
        persons: number of all rows of persons; the page shows the first ones.
        is_judged: there was a truth for these images.
        tasks: metrics by judged task.
        few: tasks with few tracks, for instance "age group: 3".
        risk, speed, load: plots; None where nothing was measured.
        slices: parts of the looks by task, weakest first.
        cameras: part over time, by camera.
        labels: names of the answered tasks.
        part_seconds: length of the parts of the time axis, in seconds.
        options: values of the options by dotted name.
    """

    title: str
    version: str
    verdict: tuple[str, str]
    story: Sequence[str]
    problems: Sequence[str]
    criteria: Sequence[tuple[str, str, bool]]
    is_judged: bool
    tasks: Mapping[str, Json]
    metric_rows: Sequence[tables.MetricRow]
    few: Sequence[str]
    people_rows: Sequence[tuple[str, Metric, str]]
    risk: Picture | None
    slices: Mapping[str, Sequence[tables.Slice]]
    person_rows: Sequence[tables.PersonRow]
    persons: int
    cameras: Sequence[CameraPart]
    labels: Sequence[str]
    timing_rows: Sequence[tuple[str, str, Sequence[str]]]
    speed: Picture | None
    part_seconds: float
    load_rows: Sequence[tuple[str, str]]
    load: Picture | None
    trace_rows: Sequence[tuple[str, str]]
    options: Mapping[str, object]


def write(path: Path, replay: Replay) -> None:
    """Write the page of a replay.

    Raises:
        FileError: the file cannot be written.
    """
    write_page(path, "fsb_perception.replay.report", "replay.html.j2", content_of(replay))


def content_of(replay: Replay) -> Content:
    """Gather the content of the page."""
    summary = replay.summary
    tasks = tables.tasks(summary)
    persons = tables.person_rows(summary)
    timed = any(len(camera.process[0]) for camera in replay.cameras)
    return Content(
        title=f"Replay of {summary['bag']['name']} with {summary['bundle']}",
        version=summary["code"]["version"],
        verdict=words.verdict(summary),
        story=list(words.story(replay)),
        problems=words.problems(replay),
        criteria=tables.criteria_rows(summary),
        is_judged=bool(summary.get("metrics")),
        tasks=tasks,
        metric_rows=tables.metric_rows(summary),
        few=_few(tasks),
        people_rows=tables.people_rows(summary),
        risk=_risk(tasks),
        slices={task: parts for task, row in tasks.items() if (parts := tables.slices(row))},
        person_rows=persons[:_MOST_PERSONS],
        persons=len(persons),
        cameras=[
            _camera_part(number, camera, replay) for number, camera in enumerate(replay.cameras)
        ],
        labels=list(replay.labels),
        timing_rows=list(tables.timing_rows(summary)),
        speed=figures.speed(replay) if timed else None,
        part_seconds=part_seconds(replay.span),
        load_rows=list(tables.load_rows(summary)),
        load=figures.load(replay.load) if replay.load else None,
        trace_rows=list(tables.trace_rows(summary)),
        options=flatten(summary.get("config", {})),
    )


def _few(tasks: Mapping[str, Json]) -> list[str]:
    few = {task: row["tracks"] for task, row in tasks.items() if row["tracks"] < tables.FEW}
    return [f"{plain(task)}: {tracks}" for task, tracks in few.items()]


def _risk(tasks: Mapping[str, Json]) -> Picture | None:
    curves = {name: row["risk_coverage"] for name, row in tasks.items()}
    known = {name: curve for name, curve in curves.items() if any("accuracy" in r for r in curve)}
    return figures.risk_coverage(known) if known else None


def _camera_part(number: int, camera: Camera, replay: Replay) -> CameraPart:
    counts = [f"{counted(len(camera.answered), 'image')} answered"]
    for kind, times in (("unreadable", camera.failed), ("dropped", camera.dropped)):
        counts += [f"{len(times):,} {kind}"] if len(times) else []
    followed = f"{counted(len(camera.tracks), 'face')} followed"
    if (left_out := len(camera.tracks) - faces.MOST) > 0:
        followed += (
            f", of which the {faces.MOST} followed longest are shown and {left_out} left out"
        )
    return CameraPart(
        name=camera.name or "without a name",
        summary=f"{', '.join(counts)}; {followed}",
        plot=faces.camera_over_time(number, camera, replay),
        shown=faces.longest(camera.tracks),
    )
