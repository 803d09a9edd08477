"""How good a replay is: who was found, who was kept apart, and what was said of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fsb_perception.replay.scoring.attributes import attribute_scores
from fsb_perception.replay.scoring.matching import Matches

Scores = dict[str, Any]


def scores(matches: Matches, tasks: Sequence[str]) -> Scores:
    """All metrics, nested by what they are of; what cannot be computed is left out.

    Args:
        matches: see `fsb_perception.replay.scoring.matching.match`.
        tasks: names of those that the answers hold.
    """
    found: Scores = {}
    if any(map(len, matches.people)):
        found |= _people(matches)
    for task in tasks:
        known = [m for m in matches.faces if task in m.attributes]
        if known:
            found[task] = attribute_scores(task, known)
    return found


def _people(matches: Matches) -> Scores:
    """Who was found, and who was kept apart from others."""
    from trackers.eval import compute_clear_metrics, compute_identity_metrics

    arguments = (matches.people, matches.answered, matches.overlap)
    clear, kept = (f(*arguments) for f in (compute_clear_metrics, compute_identity_metrics))
    return {
        "detection": {
            "precision": float(clear["CLR_Pr"]),
            "recall": float(clear["CLR_Re"]),
            "people": int(clear["CLR_TP"] + clear["CLR_FN"]),
            "false": int(clear["CLR_FP"]),
        },
        "tracking": {"idf1": float(kept["IDF1"]), "id_switches": int(clear["IDSW"])},
    }
