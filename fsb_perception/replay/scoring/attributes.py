"""Metrics of the answers about one attribute: by look, by frame, and by track.

A look is one answer of the encoder about one face. A frame's answer is the fusion of the looks so
far. A track's answer is the last one before the track ended. Intervals are computed over tracks,
each drawn with all its looks, because the frames of one face are no independent evidence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsb_perception.calibration import expected_calibration_error
from fsb_perception.replay.metrics import RiskCoverage, TaskScores
from fsb_perception.replay.scoring.intervals import interval
from fsb_perception.replay.scoring.matching import Match
from fsb_perception.replay.scoring.slices import slices
from fsb_perception.tasks import TASKS
from fsb_perception.types import UNKNOWN

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Confidences of the risk-coverage table; answers below the threshold count as withheld."""

_Tracks = Mapping[str, Sequence[Match]]
_Values = Mapping[str, float | None]

_NS = 1e9
_NO_ESTIMATE = {"label": UNKNOWN, "raw_label": UNKNOWN, "last_look": 0, "stable": False}


def attribute_scores(task: str, known: Sequence[Match]) -> TaskScores:
    """Return the metrics of a task.

    Args:
        task: name of the task.
        known: faces with a known label, at least one, in the order of the answers.
    """
    tracks: dict[str, list[Match]] = defaultdict(list)
    for match in known:
        tracks[match.face["face_id"]].append(match)
    looks = [match for match in known if is_look(match, task)]
    return TaskScores.model_validate(
        {
            "looks": len(looks),
            "tracks": len(tracks),
            **_look_scores(task, looks, tracks),
            **_track_scores(task, tracks),
            "risk_coverage": _risk_coverage(task, known),
            "slices": slices(looks, [is_right(match, task) for match in looks]),
        }
    )


def _look_scores(task: str, looks: Sequence[Match], tracks: _Tracks) -> _Values:
    if not looks:
        return {}
    from sklearn.metrics import accuracy_score, f1_score, recall_score

    true, answered = _true_codes(task, looks), _raw_codes(task, looks)
    present = np.unique(true)
    right = [[is_right(m, task) for m in ms if is_look(m, task)] for ms in tracks.values()]
    low, high = _interval(right)
    confidence = [_estimate(match, task)["raw_confidence"] for match in looks]
    return {
        "look_accuracy": float(accuracy_score(true, answered)),
        "look_accuracy_low": low,
        "look_accuracy_high": high,
        # Balanced accuracy; scikit-learn's function of that name warns of labels without a face.
        "balanced_accuracy": float(
            recall_score(true, answered, labels=present, average="macro"),
        ),
        "macro_f1": float(
            f1_score(true, answered, labels=present, average="macro", zero_division=0)
        ),
        "ece": expected_calibration_error(confidence, true == answered),
    }


def _track_scores(task: str, tracks: _Tracks) -> _Values:
    last = {face: _estimate(matches[-1], task)["label"] for face, matches in tracks.items()}
    right = [
        last[face] == _most_frequent_label(task, matches)
        for face, matches in tracks.items()
        if last[face] != UNKNOWN
    ]
    low, high = _interval([[hit] for hit in right])
    waits = [wait for ms in tracks.values() if (wait := _settled_after(task, ms)) is not None]
    minutes = sum(_minutes(matches) for matches in tracks.values())
    flips = sum(_flips(task, matches) for matches in tracks.values())
    return {
        "track_coverage": len(right) / len(tracks),
        **({"track_accuracy": sum(right) / len(right)} if right else {}),
        **({"track_accuracy_low": low, "track_accuracy_high": high} if right else {}),
        **({"flips_a_minute": flips / minutes} if minutes > 0 else {}),
        **({"seconds_to_stable": float(np.median(waits))} if waits else {}),
        "settled": len(waits) / len(tracks),
    }


def _estimate(match: Match, task: str) -> Mapping[str, Any]:
    estimates = (e for e in match.face["estimates"] if e["task"] == task)
    return next(estimates, _NO_ESTIMATE)


def is_look(match: Match, task: str) -> bool:
    """Return whether the encoder looked at this face in this frame."""
    return bool(_estimate(match, task)["last_look"] == match.stamp != 0)  # 0 means never


def is_right(match: Match, task: str) -> bool:
    """Return whether the newest look, by itself, gave the true label."""
    return bool(_estimate(match, task)["raw_label"] == match.attributes[task])


def _true_codes(task: str, matches: Sequence[Match]) -> NDArray[np.int64]:
    return np.array([TASKS[task].labels.index(m.attributes[task]) for m in matches], np.int64)


def _raw_codes(task: str, matches: Sequence[Match]) -> NDArray[np.int64]:
    labels = (*TASKS[task].labels, UNKNOWN)
    return np.array([labels.index(_estimate(m, task)["raw_label"]) for m in matches], np.int64)


def _interval(right: Sequence[Sequence[bool]]) -> tuple[float | None, float | None]:
    """Return the interval of the share of True, over tracks with all their looks."""
    tracks = [hits for hits in right if hits]
    return interval(
        lambda hits, looks: hits.sum(axis=-1) / looks.sum(axis=-1),
        ([sum(hits) for hits in tracks], [len(hits) for hits in tracks]),
    )


def _most_frequent_label(task: str, matches: Sequence[Match]) -> str:
    labels = [match.attributes[task] for match in matches]
    return max(sorted(set(labels)), key=labels.count)


def _settled_after(task: str, matches: Sequence[Match]) -> float | None:
    """Return the seconds from the first sight of a face to its first stable answer."""
    stable = (m for m in matches if _estimate(m, task)["stable"])
    first = next(stable, None)
    return None if first is None else (first.stamp - first.face["first_seen"]) / _NS


def _minutes(matches: Sequence[Match]) -> float:
    return (matches[-1].stamp - matches[0].stamp) / _NS / 60


def _flips(task: str, matches: Sequence[Match]) -> int:
    """Count the changes from one label to another, without those to and from unknown."""
    labels = [e["label"] for m in matches if (e := _estimate(m, task))["label"] != UNKNOWN]
    return sum(a != b for a, b in pairwise(labels))


def _risk_coverage(task: str, known: Sequence[Match]) -> list[RiskCoverage]:
    estimates = [_estimate(m, task) for m in known]
    confidence = np.array([e.get("confidence", 0.0) for e in estimates])
    answered = np.array([e["label"] != UNKNOWN for e in estimates])
    right = np.array(
        [e["label"] == m.attributes[task] for e, m in zip(estimates, known, strict=True)]
    )
    table = []
    for threshold in THRESHOLDS:
        chosen = answered & (confidence >= threshold)
        row: dict[str, float] = {"confidence": threshold, "coverage": float(chosen.mean())}
        if chosen.any():
            row["accuracy"] = float(right[chosen].mean())
        table.append(RiskCoverage(**row))
    return table
