"""How good a replay is: who was found, who was kept apart, and what was said of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fsb_perception.replay.attributes import attribute_scores
from fsb_perception.replay.matching import Matches

Scores = dict[str, Any]


def scores(matches: Matches, tasks: Sequence[str]) -> Scores:
    """All metrics, nested by what they are of; what cannot be computed is left out.

    Args:
        matches: see `fsb_perception.replay.matching.match`.
        tasks: names of those that the answers hold.
    """
    found: Scores = {}
    if any(map(len, matches.people)):
        found |= {"detection": _detection(matches), "tracking": _tracking(matches)}
    for task in tasks:
        known = [m for m in matches.faces if task in m.attributes]
        if known:
            found[task] = attribute_scores(task, known)
    return found


def _detection(matches: Matches) -> Scores:
    from trackers.eval import compute_clear_metrics

    clear = compute_clear_metrics(matches.people, matches.answered, matches.overlap)
    return {
        "precision": float(clear["CLR_Pr"]),
        "recall": float(clear["CLR_Re"]),
        "people": int(clear["CLR_TP"] + clear["CLR_FN"]),
        "false": int(clear["CLR_FP"]),
    }


def _tracking(matches: Matches) -> Scores:
    from trackers.eval import compute_clear_metrics, compute_identity_metrics

    arguments = (matches.people, matches.answered, matches.overlap)
    return {
        "idf1": float(compute_identity_metrics(*arguments)["IDF1"]),
        "id_switches": int(compute_clear_metrics(*arguments)["IDSW"]),
    }
