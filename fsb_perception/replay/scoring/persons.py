"""What each person of the truth got, the unit that replays are compared by.

Face ids depend on the tracker, so two runs cannot be paired by them; people can. A person of one
camera is one row, whatever number of tracks the node made of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fsb_perception.replay.scoring.attributes import is_look, is_right
from fsb_perception.replay.scoring.matching import Match

Key = tuple[str, str, str]
"""Camera, identity, task."""


@dataclass(frozen=True)
class Person:
    """How one person was read in one task.

    Attributes:
        camera: where.
        identity: who; the face's id where the truth names nobody.
        task: which.
        looks: at them.
        right: of those.
    """

    camera: str
    identity: str
    task: str
    looks: int
    right: int

    @property
    def key(self) -> Key:
        """What it is paired by."""
        return self.camera, self.identity, self.task


def persons(faces: Iterable[Match], tasks: Sequence[str]) -> list[Person]:
    """Everybody of whom something is known and who was looked at, by camera and name."""
    hits: dict[Key, list[bool]] = defaultdict(list)
    for match in faces:
        for task in tasks:
            if task in match.attributes and is_look(match, task):
                who = match.identity or match.face["face_id"]
                hits[match.camera, who, task].append(is_right(match, task))
    return [Person(*key, len(rows), sum(rows)) for key, rows in sorted(hits.items())]


def from_json(rows: Iterable[dict[str, Any]]) -> list[Person]:
    """Persons as a summary keeps them."""
    return [Person(**row) for row in rows]
