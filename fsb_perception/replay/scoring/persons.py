"""The looks at each person of the truth, the unit by which replays are compared.

Face ids depend on the tracker, so two runs cannot be paired by them, but people can. A person seen
by one camera is one row per task, however many tracks the node made of that person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from fsb_perception.replay.metrics import Person
from fsb_perception.replay.scoring.attributes import is_look, is_right
from fsb_perception.replay.scoring.matching import Match


def persons(faces: Iterable[Match], tasks: Sequence[str]) -> list[Person]:
    """Return a row for each person with a known label and at least one look.

    Args:
        faces: answered faces beside the truth.
        tasks: names of the tasks to count.

    Returns:
        Rows sorted by camera, identity and task.
    """
    hits: dict[tuple[str, str, str], list[bool]] = defaultdict(list)
    for match in faces:
        for task in tasks:
            if task in match.attributes and is_look(match, task):
                identity = match.identity or match.face["face_id"]
                hits[match.camera, identity, task].append(is_right(match, task))
    return [
        Person(camera=camera, identity=identity, task=task, looks=len(right), right=sum(right))
        for (camera, identity, task), right in sorted(hits.items())
    ]
