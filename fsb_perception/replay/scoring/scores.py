"""All metrics of a replay: detection, tracking, and the answers about each attribute."""

from __future__ import annotations

from collections.abc import Sequence

from fsb_perception.replay.metrics import Detection, Metrics, Tracking
from fsb_perception.replay.scoring.attributes import attribute_scores
from fsb_perception.replay.scoring.matching import Matches


def scores(matches: Matches, tasks: Sequence[str]) -> Metrics:
    """Return all metrics; one that cannot be computed is left unset.

    Args:
        matches: answers beside the truth.
        tasks: names of the tasks in the answers.
    """
    known = {task: [m for m in matches.faces if task in m.attributes] for task in tasks}
    by_task = {task: attribute_scores(task, faces) for task, faces in known.items() if faces}
    if not any(map(len, matches.people)):
        return Metrics.model_validate(by_task)
    detection, tracking = _people_scores(matches)
    return Metrics.model_validate({"detection": detection, "tracking": tracking, **by_task})


def _people_scores(matches: Matches) -> tuple[Detection, Tracking]:
    from trackers.eval import compute_clear_metrics, compute_identity_metrics

    arguments = (matches.people, matches.answered, matches.overlap)
    clear, identity = compute_clear_metrics(*arguments), compute_identity_metrics(*arguments)
    detection = Detection(
        precision=float(clear["CLR_Pr"]),
        recall=float(clear["CLR_Re"]),
        people=int(clear["CLR_TP"] + clear["CLR_FN"]),
        false=int(clear["CLR_FP"]),
    )
    return detection, Tracking(idf1=float(identity["IDF1"]), id_switches=int(clear["IDSW"]))
