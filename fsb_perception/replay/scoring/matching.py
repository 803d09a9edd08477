"""Pairs of answered faces and persons of the truth, frame by frame.

    boxes of the truth  x  boxes of the answered faces
        -> IoU -> assignment with the largest sum of IoU -> pairs with an IoU of at least 0.5

Faces that are only predicted (COASTED) or have ENDED claim nothing about the frame and are not
paired. A person who is mostly hidden need not be found: such a statement, and the face paired with
it, count neither for nor against.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fsb_perception.replay.rows import Row, is_answered
from fsb_perception.replay.truth.statements import Corners, Statement

MIN_IOU = 0.5
MOST_HIDDEN = 0.5
"""Covered share of a face from which on the face does not count."""

_SEEN = ("TENTATIVE", "CONFIRMED")


@dataclass(frozen=True)
class Match:
    """An answered face with known truth.

    Attributes:
        camera: name of the camera.
        stamp: stamp of the image, in nanoseconds.
        face: the face's part of the row.
        identity: name of the person; empty if the truth has none.
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
        faces: every answered face with known truth, in the order of the answers.
        people: numbers of the persons, one array a frame.
        answered: numbers of the answered faces, one array a frame.
        overlap: IoU of persons and faces, one array (persons, faces) a frame.
        images: number of answered images that the truth says something about.
    """

    faces: list[Match] = field(default_factory=list)
    people: list[NDArray[np.int64]] = field(default_factory=list)
    answered: list[NDArray[np.int64]] = field(default_factory=list)
    overlap: list[NDArray[np.float64]] = field(default_factory=list)
    images: int = 0


class Truth:
    """Statements of the truth, indexed by camera and stamp.

    >>> seat = Statement(camera="front", start=0, end=9, attributes={"gender": "female"})
    >>> Truth([seat]).known("front", 5, {"box_xyxy": [0, 0, 9, 9]}, None)
    ('', {'gender': 'female'})
    """

    def __init__(self, statements: Iterable[Statement]) -> None:
        self._boxes: dict[tuple[str, int], list[Statement]] = defaultdict(list)
        self._others: dict[str, list[Statement]] = defaultdict(list)
        for statement in statements:
            if statement.box_xyxy is not None and statement.stamp is not None:
                self._boxes[statement.camera, statement.stamp].append(statement)
            else:
                self._others[statement.camera].append(statement)
        self.cameras = {camera for camera, _ in self._boxes} | set(self._others)

    def boxes(self, camera: str, stamp: int) -> list[Statement]:
        """Return the faces that the truth has in an image."""
        return self._boxes.get((camera, stamp), [])

    def covers(self, camera: str, stamp: int) -> bool:
        """Return whether any statement is about an image."""
        return (camera, stamp) in self._boxes or any(
            _is_at(other, stamp) for other in self._others.get(camera, ())
        )

    def known(
        self, camera: str, stamp: int, face: Row, box: Statement | None
    ) -> tuple[str, dict[str, str]]:
        """Return the identity and the attributes of a face; later statements override earlier ones.

        Args:
            camera: name of the camera.
            stamp: stamp of the image, in nanoseconds.
            face: the face's part of the row.
            box: the statement paired with the face, if any; it overrides all others.
        """
        holding = [other for other in self._others.get(camera, ()) if _holds(other, stamp, face)]
        named = [other.identity for other in holding if other.box_xyxy and other.identity]
        identity = box.identity if box else (named or [""])[-1]
        attributes: dict[str, str] = {}
        for other in holding:
            if other.identity in ("", identity):
                attributes |= other.attributes
        return identity, attributes | (box.attributes if box else {})


def match(rows: Iterable[Row], truth: Truth) -> Matches:
    """Compare answers with the truth of the same images.

    Args:
        rows: rows of results.jsonl; those of cameras without truth are left out.
        truth: statements about the images.
    """
    matches = Matches()
    numbers: dict[tuple[str, ...], int] = {}  # of persons and faces, as the tracking metrics ask

    def number(*name: str) -> int:
        return numbers.setdefault(name, len(numbers))

    for row in rows:
        if not is_answered(row) or row["camera"] not in truth.cameras:
            continue
        camera, stamp = row["camera"], row["stamp"]
        matches.images += truth.covers(camera, stamp)
        frame = _assign(
            [face for face in row["faces"] if face["state"] in _SEEN], truth.boxes(camera, stamp)
        )
        for face, box in frame.pairs:
            identity, attributes = truth.known(camera, stamp, face, box)
            if attributes or identity:
                matches.faces.append(Match(camera, stamp, face, identity, attributes))
        people = [number(camera, person.identity) for person in frame.people]
        answered = [number("", face["face_id"]) for face, _ in frame.pairs]
        matches.people.append(np.array(people, np.int64))
        matches.answered.append(np.array(answered, np.int64))
        matches.overlap.append(frame.overlap)
    return matches


@dataclass(frozen=True)
class _Frame:
    """One frame without what is mostly hidden: faces, each with its person, and all persons."""

    pairs: list[tuple[Row, Statement | None]]
    people: list[Statement]
    overlap: NDArray[np.float64]


def _assign(faces: list[Row], boxes: list[Statement]) -> _Frame:
    from scipy.optimize import linear_sum_assignment

    overlap = _iou([box.box_xyxy for box in boxes], [face["box_xyxy"] for face in faces])
    box_of_face: dict[int, int] = {
        int(column): int(row)
        for row, column in zip(*linear_sum_assignment(overlap, maximize=True), strict=True)
        if overlap[row, column] >= MIN_IOU
    }
    hidden = {i for i, box in enumerate(boxes) if box.hidden >= MOST_HIDDEN}
    people = [i for i in range(len(boxes)) if i not in hidden]
    kept = [i for i in range(len(faces)) if box_of_face.get(i) not in hidden]
    pairs = [(faces[i], boxes[box_of_face[i]] if i in box_of_face else None) for i in kept]
    return _Frame(pairs, [boxes[i] for i in people], overlap[np.ix_(people, kept)])


def _iou(ours: Sequence[Corners | None], theirs: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    from trackers.eval import box_iou

    if not ours or not theirs:
        return np.zeros((len(ours), len(theirs)))
    return np.asarray(box_iou(np.array(ours, float), np.array(theirs, float)), np.float64)


def _holds(statement: Statement, stamp: int, face: Row) -> bool:
    """Return whether a statement that is no box of an image is about this image and face."""
    return _is_at(statement, stamp) and (
        statement.box_xyxy is None or _centre_in(face["box_xyxy"], statement.box_xyxy)
    )


def _is_at(statement: Statement, stamp: int) -> bool:
    if statement.stamp is not None:
        return statement.stamp == stamp
    assert statement.start is not None, "a statement has a stamp or a range"
    assert statement.end is not None, "likewise"
    return statement.start <= stamp <= statement.end


def _centre_in(box: Sequence[float], region: Corners) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return region[0] <= x <= region[2] and region[1] <= y <= region[3]
