"""How good the answers about one attribute are: by look, by frame, and by track.

A look is one answer of the encoder about one face; a frame's answer is what fusion makes of the
looks so far; a track's answer is the last one before it ended. Intervals are of tracks, drawn anew
with all their looks: the frames of one face are no independent evidence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsb_perception.calibration import expected_calibration_error
from fsb_perception.replay.scoring.intervals import interval
from fsb_perception.replay.scoring.matching import Match
from fsb_perception.replay.scoring.slices import slices
from fsb_perception.tasks import TASKS
from fsb_perception.types import UNKNOWN

Scores = dict[str, Any]
Tracks = Mapping[str, Sequence[Match]]

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Of confidence, below which an answer counts as withheld in the risk-coverage table."""

_NS = 1e9
_NO_ESTIMATE = {"label": UNKNOWN, "raw_label": UNKNOWN, "last_look": 0, "stable": False}


def attribute_scores(task: str, known: Sequence[Match]) -> Scores:
    """Metrics of a task on faces whose label is known, in the order of the answers."""
    tracks: dict[str, list[Match]] = defaultdict(list)
    for match in known:
        tracks[match.face["face_id"]].append(match)
    looks = [match for match in known if is_look(match, task)]
    return {
        "looks": len(looks),
        "tracks": len(tracks),
        **_look_scores(task, looks, tracks),
        **_track_scores(task, tracks),
        "risk_coverage": _risk_coverage(task, known),
        "slices": slices(looks, [is_right(match, task) for match in looks]),
    }


def _look_scores(task: str, looks: Sequence[Match], tracks: Tracks) -> Scores:
    if not looks:
        return {}
    from sklearn.metrics import accuracy_score, f1_score, recall_score

    true, said = _truths(task, looks), _codes(task, looks, "raw_label")
    present = np.unique(true)
    right = [[is_right(m, task) for m in ms if is_look(m, task)] for ms in tracks.values()]
    low, high = _interval(right)
    return {
        "look_accuracy": float(accuracy_score(true, said)),
        "look_accuracy_low": low,
        "look_accuracy_high": high,
        # Balanced accuracy; the function of that name warns of labels that nobody has.
        "balanced_accuracy": float(recall_score(true, said, labels=present, average="macro")),
        "macro_f1": float(f1_score(true, said, labels=present, average="macro", zero_division=0)),
        "ece": expected_calibration_error(
            [_estimate(m, task)["raw_confidence"] for m in looks], true == said
        ),
    }


def _track_scores(task: str, tracks: Tracks) -> Scores:
    last = {face: matches[-1] for face, matches in tracks.items()}
    true = {face: _most_often(task, matches) for face, matches in tracks.items()}
    said = {face: _estimate(match, task)["label"] for face, match in last.items()}
    answered = [face for face in tracks if said[face] != UNKNOWN]
    right = [said[face] == true[face] for face in answered]
    low, high = _interval([[each] for each in right])
    waits = [wait for ms in tracks.values() if (wait := _settled_after(task, ms)) is not None]
    minutes = sum(_minutes(matches) for matches in tracks.values())
    flips = sum(_flips(task, matches) for matches in tracks.values())
    return {
        "track_coverage": len(answered) / len(tracks),
        **({"track_accuracy": sum(right) / len(right)} if answered else {}),
        **({"track_accuracy_low": low, "track_accuracy_high": high} if answered else {}),
        **({"flips_a_minute": flips / minutes} if minutes > 0 else {}),
        **({"seconds_to_stable": float(np.median(waits))} if waits else {}),
        "settled": len(waits) / len(tracks),
    }


def _estimate(match: Match, task: str) -> Mapping[str, Any]:
    found = (e for e in match.face["estimates"] if e["task"] == task)
    return next(found, _NO_ESTIMATE)


def is_look(match: Match, task: str) -> bool:
    """Whether the encoder was asked about this face in this frame."""
    return bool(_estimate(match, task)["last_look"] == match.stamp != 0)  # 0 is never


def is_right(match: Match, task: str) -> bool:
    """Whether the newest look, by itself, gave the true label."""
    return bool(_estimate(match, task)["raw_label"] == match.attributes[task])


def _truths(task: str, matches: Sequence[Match]) -> NDArray[np.int64]:
    return np.array([TASKS[task].labels.index(m.attributes[task]) for m in matches], np.int64)


def _codes(task: str, matches: Sequence[Match], name: str) -> NDArray[np.int64]:
    labels = (*TASKS[task].labels, UNKNOWN)
    return np.array([labels.index(_estimate(m, task)[name]) for m in matches], np.int64)


def _interval(right: Sequence[Sequence[bool]]) -> tuple[float | None, float | None]:
    """Of the share of True, over tracks with all their looks."""
    looked = [each for each in right if each]
    return interval(
        lambda hits, of: hits.sum(axis=-1) / of.sum(axis=-1),
        ([sum(each) for each in looked], [len(each) for each in looked]),
    )


def _most_often(task: str, matches: Sequence[Match]) -> str:
    labels = [match.attributes[task] for match in matches]
    return max(sorted(set(labels)), key=labels.count)


def _settled_after(task: str, matches: Sequence[Match]) -> float | None:
    """Seconds from the first sight of a face to its first stable answer."""
    stable = (m for m in matches if _estimate(m, task)["stable"])
    first = next(stable, None)
    return None if first is None else (first.stamp - first.face["first_seen"]) / _NS


def _minutes(matches: Sequence[Match]) -> float:
    return (matches[-1].stamp - matches[0].stamp) / _NS / 60


def _flips(task: str, matches: Sequence[Match]) -> int:
    """Changes from one label to another; to and from unknown is none."""
    labels = [e["label"] for m in matches if (e := _estimate(m, task))["label"] != UNKNOWN]
    return sum(a != b for a, b in pairwise(labels))


def _risk_coverage(task: str, known: Sequence[Match]) -> list[Scores]:
    """What withholding unsure answers of frames costs in number, and gains in truth."""
    said = [_estimate(m, task) for m in known]
    sure = np.array([e.get("confidence", 0.0) for e in said])
    right = np.array([e["label"] == m.attributes[task] for e, m in zip(said, known, strict=True)])
    answered = np.array([e["label"] != UNKNOWN for e in said])
    table = []
    for threshold in THRESHOLDS:
        chosen = answered & (sure >= threshold)
        row: Scores = {"confidence": threshold, "coverage": float(chosen.mean())}
        if chosen.any():
            row["accuracy"] = float(right[chosen].mean())
        table.append(row)
    return table
