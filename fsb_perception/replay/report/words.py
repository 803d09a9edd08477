"""What the page says in sentences, for people who were not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fsb_perception.pages.drawing import plain
from fsb_perception.problems import lines
from fsb_perception.replay.report.collect import Replay
from fsb_perception.replay.report.tables import FEW, number, slices, span, tasks

_Json = Mapping[str, Any]
_MODES = {
    "offline": "every image by its recorded stamp, as fast as it went, without a running node",
    "lockstep": "through the running node, image by image: each waited for the answer before",
    "realtime": "through the running node, which nothing waits for, as on a robot",
}


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "face"), counted(2, "box", "boxes")
    ('1 face', '2 boxes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def verdict(summary: _Json) -> tuple[str, str]:
    """A word for the style, and one for people: whether it is good enough."""
    criteria = summary.get("criteria")
    if not criteria:
        return "open", "Not decided: no criteria were given"
    missed = sum(not each["met"] for each in criteria)
    every = counted(len(criteria), "criterion", "criteria")
    if missed:
        return "bad", f"Not good enough: {missed} of {every} not met"
    return "good", f"Good enough: {every} met"


def story(replay: Replay) -> Iterator[str]:
    """What happened, in sentences."""
    said = replay.summary
    names = [name or "without a name" for name in said["cameras"]]
    of = f" ({', '.join(names)})" if names else ""
    yield (
        f"The recording “{said['bag']['name']}” holds {counted(said['frames'], 'image')} of "
        f"{counted(len(names), 'camera')}{of} over {replay.span:,.1f} seconds. "
        f"The bundle {said['bundle']} answered in mode {said['mode']}{_explained(said['mode'])}. "
        f"{counted(said['tracks'], 'face was', 'faces were')} followed."
    )
    yield from _judged(said)
    if play := said.get("play"):
        yield (
            f"Of {counted(play['published'], 'image')} played, {play['dropped']:,} "
            f"({number(play['drop_rate'], '%')}) got no answer."
        )


def _explained(mode: str) -> str:
    name = mode.partition(" ")[0]  # a rate may follow
    return f": {_MODES[name]}" if name in _MODES else ""


def _judged(said: _Json) -> Iterator[str]:
    if "metrics" not in said:
        yield "No truth was given: this page shows what was said, not whether it was right."
        return
    if not said["metrics"]:
        yield "The truth that was given says nothing of these images."
    yield from (_of_task(name, each) for name, each in tasks(said).items())


def _of_task(name: str, metrics: _Json) -> str:
    tracks = metrics["tracks"]
    answered = round(metrics["track_coverage"] * tracks)
    begun = f"{plain(name).capitalize()}: of {counted(tracks, 'face')}, {answered:,} had an answer"
    if not answered:
        return f"{begun}."
    accuracy = metrics["track_accuracy"]
    interval = span(metrics, "track_accuracy") if tracks >= FEW else ""
    sure = f"; 95\u00a0% interval {interval}" if interval else "; too few faces to rely on"
    right = f"{begun}, {round(accuracy * answered):,} a right one ({number(accuracy, '%')}{sure})."
    weakest = next(iter(slices(metrics)), None)
    if weakest is None:
        return right
    return (
        f"{right} Weakest part of the looks: {weakest.part}, right in "
        f"{number(weakest.accuracy, '%')} of {weakest.looks:,}."
    )


def problems(replay: Replay) -> list[str]:
    """What is wrong with the recording, a line a kind."""
    said = lines(replay.summary.get("problems", {}))
    if failed := replay.summary["failed"]:
        said.append(f"images that could not be read: {failed:,} of {replay.summary['frames']:,}")
    return said + [
        f"camera {camera.name or 'without a name'}: {counted(camera.unplaced, 'image')} without a "
        "stamp, or half a day from the others: not in the plots over time"
        for camera in replay.cameras
        if camera.unplaced
    ]
