"""Which answered face is which person of the truth, frame by frame.

    truth boxes  x  boxes of faces in the frame  -> IoU -> assignment of most overlap, at least 0.5

Faces that are only predicted (COASTED) or have ENDED claim nothing about the frame and are not
matched. A person who is mostly hidden need not be found: such a statement, and the face on it, if
there is one, count neither for nor against.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsb_perception.replay.rows import Row, is_answered
from fsb_perception.replay.truth.statements import Corners, Statement

MIN_IOU = 0.5
MOST_HIDDEN = 0.5
_SEEN = ("TENTATIVE", "CONFIRMED")


@dataclass(frozen=True)
class Match:
    """An answered face of which something is known.

    Attributes:
        camera: where it was seen.
        stamp: of the image, in nanoseconds.
        face: its part of the row.
        identity: of the person; empty if the truth names none.
        attributes: true label by task, as far as known.
    """

    camera: str
    stamp: int
    face: Row
    identity: str
    attributes: dict[str, str]


@dataclass
class Matches:
    """Answers beside the truth.

    Attributes:
        faces: every answered face of which something is known, in the order of the answers.
        people, answered: numbers of persons and of faces, an array a frame.
        overlap: IoU of each frame, (persons, faces).
    """

    faces: list[Match] = field(default_factory=list)
    people: list[NDArray[np.int64]] = field(default_factory=list)
    answered: list[NDArray[np.int64]] = field(default_factory=list)
    overlap: list[NDArray[np.float64]] = field(default_factory=list)


class Truth:
    """Statements, found by camera and stamp."""

    def __init__(self, statements: Iterable[Statement]) -> None:
        self._boxes: dict[tuple[str, int], list[Statement]] = defaultdict(list)
        self._others: dict[str, list[Statement]] = defaultdict(list)
        for said in statements:
            if said.box_xyxy is not None and said.stamp is not None:
                self._boxes[said.camera, said.stamp].append(said)
            else:
                self._others[said.camera].append(said)
        self.cameras = {camera for camera, _ in self._boxes} | set(self._others)

    def boxes(self, camera: str, stamp: int) -> list[Statement]:
        """The faces that are said to be in an image."""
        return self._boxes.get((camera, stamp), [])

    def known(
        self, camera: str, stamp: int, face: Row, said: Statement | None
    ) -> tuple[str, dict[str, str]]:
        """Who a face is, and its attributes: the later statement over the earlier.

        Args:
            camera: where it was seen.
            stamp: of the image.
            face: its part of the row.
            said: the box that was matched with it, if any, whose word is the last.
        """
        holding = [other for other in self._others.get(camera, ()) if _holds(other, stamp, face)]
        named = [other.identity for other in holding if other.box_xyxy and other.identity]
        identity = said.identity if said else (named or [""])[-1]
        attributes: dict[str, str] = {}
        for other in holding:
            if other.identity in ("", identity):
                attributes |= other.attributes
        return identity, attributes | (said.attributes if said else {})


def match(rows: Iterable[Row], truth: Truth) -> Matches:
    """Compare answers with the truth of the same images; images without any are left out."""
    found = Matches()
    numbers: dict[tuple[str, ...], int] = {}
    for row in rows:
        if not is_answered(row) or row["camera"] not in truth.cameras:
            continue
        faces = [face for face in row["faces"] if face["state"] in _SEEN]
        said = truth.boxes(row["camera"], row["stamp"])
        pairs, left, people, overlap = _assigned(faces, said)
        _note(found, row, pairs, truth)
        found.people.append(
            np.array([_number(numbers, row["camera"], p.identity) for p in people], np.int64)
        )
        found.answered.append(
            np.array([_number(numbers, "", f["face_id"]) for f in left], np.int64)
        )
        found.overlap.append(overlap)
    return found


def _note(
    found: Matches, row: Row, pairs: Sequence[tuple[Row, Statement | None]], truth: Truth
) -> None:
    camera, stamp = row["camera"], row["stamp"]
    for face, said in pairs:
        identity, attributes = truth.known(camera, stamp, face, said)
        if attributes or identity:
            found.faces.append(Match(camera, stamp, face, identity, attributes))


def _assigned(
    faces: list[Row], said: list[Statement]
) -> tuple[list[tuple[Row, Statement | None]], list[Row], list[Statement], NDArray[np.float64]]:
    """Pairs of face and statement; and, for counting, faces, people, and how they overlap."""
    from scipy.optimize import linear_sum_assignment

    overlap = _iou([p.box_xyxy for p in said], [f["box_xyxy"] for f in faces])
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    of_face: dict[int, int] = {
        int(c): int(r) for r, c in zip(rows, columns, strict=True) if overlap[r, c] >= MIN_IOU
    }
    hidden = {i for i, person in enumerate(said) if person.hidden >= MOST_HIDDEN}
    pairs = [(face, said[of_face[i]] if i in of_face else None) for i, face in enumerate(faces)]
    kept = [i for i in range(len(faces)) if of_face.get(i) not in hidden]
    people = [i for i in range(len(said)) if i not in hidden]
    return (
        [pair for i, pair in enumerate(pairs) if i in kept],
        [faces[i] for i in kept],
        [said[i] for i in people],
        overlap[np.ix_(people, kept)],
    )


def _iou(ours: Sequence[Any], theirs: Sequence[Any]) -> NDArray[np.float64]:
    from trackers.eval import box_iou

    if not ours or not theirs:
        return np.zeros((len(ours), len(theirs)))
    return np.asarray(box_iou(np.array(ours, float), np.array(theirs, float)), np.float64)


def _holds(said: Statement, stamp: int, face: Row) -> bool:
    """Whether a statement without a box of its own image is of this one, and of this face."""
    if said.stamp is not None:
        return said.stamp == stamp
    assert said.start is not None, "a statement has a stamp or a range"
    assert said.end is not None, "likewise"
    return said.start <= stamp <= said.end and (
        said.box_xyxy is None or _centre_in(face["box_xyxy"], said.box_xyxy)
    )


def _centre_in(box: Sequence[float], region: Corners) -> bool:
    across, down = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return region[0] <= across <= region[2] and region[1] <= down <= region[3]


def _number(numbers: dict[tuple[str, ...], int], *name: str) -> int:
    return numbers.setdefault(name, len(numbers))
