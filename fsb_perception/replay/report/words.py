"""The sentences of the page, for readers who were not there."""

from __future__ import annotations

from collections.abc import Iterator

from fsb_perception.metric_words import METRICS, value_text
from fsb_perception.pages.text import counted, plain
from fsb_perception.problems import lines
from fsb_perception.replay.modes import MODES
from fsb_perception.replay.report.collect import Replay
from fsb_perception.replay.report.files import Json
from fsb_perception.replay.report.tables import FEW, interval, slices, tasks


def verdict(summary: Json) -> tuple[str, str]:
    """Return the verdict as "good", "bad" or "open", and as a sentence without full stop."""
    criteria = summary.get("criteria")
    if not criteria:
        return "open", "Not decided: no criteria were given"
    missed = sum(not criterion["met"] for criterion in criteria)
    every = counted(len(criteria), "criterion", "criteria")
    if missed:
        return "bad", f"Not good enough: {missed} of {every} not met"
    return "good", f"Good enough: {every} met"


def story(replay: Replay) -> Iterator[str]:
    """Yield sentences about what was replayed and how well it went."""
    summary = replay.summary
    names = [name or "without a name" for name in summary["cameras"]]
    in_brackets = f" ({', '.join(names)})" if names else ""
    yield (
        f"The recording “{summary['bag']['name']}” holds {counted(summary['frames'], 'image')} of "
        f"{counted(len(names), 'camera')}{in_brackets} over {replay.span:,.1f} seconds. The bundle "
        f"{summary['bundle']} answered in mode {summary['mode']}{_explained(summary['mode'])}. "
        f"{counted(summary['tracks'], 'face was', 'faces were')} followed."
    )
    yield from _judged(summary)
    if play := summary.get("play"):
        yield (
            f"Of {counted(play['published'], 'image')} played, {play['dropped']:,} "
            f"({METRICS['drop_rate'].text(play['drop_rate'])}) got no answer."
        )


def _explained(mode: str) -> str:
    name = mode.partition(" ")[0]  # a rate may follow
    return f": {MODES[name].meaning}" if name in MODES else ""


def _judged(summary: Json) -> Iterator[str]:
    if "metrics" not in summary:
        yield "No truth was given: this page shows the answers, not whether they were right."
        return
    if not summary["metrics"]:
        yield "The truth that was given does not cover these images."
    yield from (_about_task(name, metrics) for name, metrics in tasks(summary).items())


def _about_task(name: str, metrics: Json) -> str:
    tracks = metrics["tracks"]
    answered = round(metrics["track_coverage"] * tracks)
    begun = f"{plain(name).capitalize()}: of {counted(tracks, 'face')}, {answered:,} had an answer"
    if not answered:
        return f"{begun}."
    accuracy = metrics["track_accuracy"]
    limits = interval(metrics, "track_accuracy") if tracks >= FEW else ""
    sure = f"; 95\u00a0% interval {limits}" if limits else "; too few faces to rely on"
    share = value_text(accuracy, "%")
    right = f"{begun}, {round(accuracy * answered):,} a right one ({share}{sure})."
    weakest = next(iter(slices(metrics)), None)
    if weakest is None:
        return right
    return (
        f"{right} Weakest part of the looks: {weakest.part}, right in "
        f"{value_text(weakest.accuracy, '%')} of {weakest.looks:,}."
    )


def problems(replay: Replay) -> list[str]:
    """Return one line for each kind of problem with the recording."""
    summary = replay.summary
    kinds = lines(summary.get("problems", {}))
    if failed := summary["failed"]:
        kinds.append(f"images that could not be read: {failed:,} of {summary['frames']:,}")
    return kinds + [
        f"camera {camera.name or 'without a name'}: {counted(camera.unplaced, 'image')} without a "
        "stamp, or half a day from the others: not in the plots over time"
        for camera in replay.cameras
        if camera.unplaced
    ]
