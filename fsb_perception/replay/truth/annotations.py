"""Truth that was drawn over the images: ``foxglove_msgs/ImageAnnotations`` in a bag.

    /front/annotations
      points    a closed line (LINE_LOOP): its bounds are the box of a face
      texts     at a corner of the box:  ada gender=female age_group=20-29 hidden=0.2
      metadata  of a box, a text or the message:  identity: ada, gender: female

A text begins with the identity, one word, which may be left out. Then come tasks with their labels,
and ``hidden`` as in `Statement`. If a name has several values, the metadata of the box goes first,
then the text, the text's metadata, and the message's. Messages are CDR, as ROS 2 records them, or
JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from fsb_perception.replay.truth.annotation_messages import DrawnMessage, drawn_messages
from fsb_perception.replay.truth.statements import Corners, Statement, TruthError, errors_at

_SECOND = 1_000_000_000  # ns
_LINE_LOOP = 2
_LEAST_REACH = 32.0  # px from a corner: a line of text, however small the box
_FEWEST_CORNERS = 3


class _Read(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)


class _Time(_Read):
    sec: int = 0
    nanosec: int = Field(0, validation_alias=AliasChoices("nanosec", "nsec"))

    @property
    def stamp(self) -> int:
        return self.sec * _SECOND + self.nanosec


class _Point(_Read):
    x: Annotated[float, Field(allow_inf_nan=False)]
    y: Annotated[float, Field(allow_inf_nan=False)]


class _Pair(_Read):
    key: str
    value: str


class _Annotation(_Read):
    timestamp: _Time | None = None
    metadata: list[_Pair] = Field(default_factory=list)

    @property
    def values(self) -> dict[str, str]:
        return {pair.key: pair.value for pair in self.metadata}


class _Line(_Annotation):
    type: int
    points: list[_Point]

    @property
    def box_xyxy(self) -> Corners:
        xs, ys = ([getattr(point, axis) for point in self.points] for axis in "xy")
        return min(xs), min(ys), max(xs), max(ys)


class _Text(_Annotation):
    position: _Point
    text: str


class _Annotations(_Annotation):
    points: list[_Line] = Field(default_factory=list)
    texts: list[_Text] = Field(default_factory=list)

    def stamp_of(self, annotation: _Annotation) -> int:
        """Return the stamp of an annotation, else that of the message, else 0."""
        times = [time.stamp for time in (self.timestamp, annotation.timestamp) if time]
        return next(filter(None, times), 0)


class _Box(NamedTuple):
    stamp: int
    line: _Line
    corners: Corners


def read_annotations(path: Path) -> list[Statement]:
    """Read the boxes of every ``/CAMERA/annotations`` of a bag, with the texts at them.

    Raises:
        TruthError: no such bag or topic, or a message that is no valid truth.
        BagError: the packages that read bags are missing.
    """
    statements = [s for drawn in drawn_messages(path) for s in _statements(path, drawn)]
    if not statements:
        raise TruthError(f"{path}: its annotations hold no box: draw each as a closed line")
    return statements


def _statements(path: Path, drawn: DrawnMessage) -> list[Statement]:
    with errors_at(f"{path}: {drawn.topic} at {drawn.received} ns"):
        message = _Annotations.model_validate(drawn.message)
        boxes = _boxes(message)
    stamp = boxes[0].stamp if boxes else drawn.received
    with errors_at(f"{path}: {drawn.topic} at {stamp} ns"):
        return [
            _statement(drawn.camera, box, message.values | text_values | box.line.values)
            for box, text_values in zip(boxes, _text_values(message, boxes), strict=True)
        ]


def _boxes(message: _Annotations) -> list[_Box]:
    lines = [p for p in message.points if p.type == _LINE_LOOP and len(p.points) >= _FEWEST_CORNERS]
    boxes = [_Box(message.stamp_of(line), line, line.box_xyxy) for line in lines]
    for box in boxes:
        if not box.stamp:
            raise TruthError(
                f"the box {box.corners} has no timestamp: give it that of its image's header"
            )
    return boxes


def _statement(camera: str, box: _Box, values: dict[str, str]) -> Statement:
    own = {name: values.pop(name) for name in ("identity", "hidden") if name in values}
    fields = {"camera": camera, "stamp": box.stamp, "box_xyxy": box.corners, "attributes": values}
    return Statement.model_validate(fields | own)


def _text_values(message: _Annotations, boxes: Sequence[_Box]) -> list[dict[str, str]]:
    """Return the values that the text at each box gives, its metadata included."""
    texts = [text for text in message.texts if text.text.strip()]
    indices = _nearest([text.position for text in texts], [box.corners for box in boxes])
    values: list[dict[str, str]] = [{} for _ in boxes]
    for text, index in zip(texts, indices, strict=True):
        place = f"text {text.text!r} at ({text.position.x:.0f}, {text.position.y:.0f})"
        if index is None:
            raise TruthError(f"{place} is at no corner of a box that has no other text")
        if message.stamp_of(text) not in (0, boxes[index].stamp):
            raise TruthError(
                f"{place} has stamp {message.stamp_of(text)}, its box {boxes[index].stamp}"
            )
        values[index] = text.values | parse_words(text.text)
    return values


def parse_words(text: str) -> dict[str, str]:
    """Return the values of a text, by name.

    >>> parse_words("ada gender=female age_group=20-29")
    {'identity': 'ada', 'gender': 'female', 'age_group': '20-29'}

    Raises:
        TruthError: a word that is neither the first nor NAME=VALUE, or a name that comes twice.
    """
    values: dict[str, str] = {}
    for number, word in enumerate(text.split()):
        name, sign, value = word.partition("=")
        if not sign and number == 0:
            name, value = "identity", word
        elif not sign:
            raise TruthError(
                f"text {text!r}: {word!r} is not NAME=VALUE, as all must be after the identity, "
                "which is one word"
            )
        if name in values:
            raise TruthError(f"text {text!r}: {name} is given twice")
        values[name] = value
    return values


def _nearest(texts: Sequence[_Point], boxes: Sequence[Corners]) -> Iterator[int | None]:
    """Assign each text to a box: a box takes one at most, and the sum of distances is smallest."""
    from scipy.optimize import linear_sum_assignment

    if not texts or not boxes:
        yield from (None for _ in texts)
        return
    points = np.array([(text.x, text.y) for text in texts])
    sides = np.array(boxes).reshape(-1, 2, 2)
    corners = np.stack([sides[:, [i, j], [0, 1]] for i in (0, 1) for j in (0, 1)], axis=1)
    away = np.linalg.norm(points[:, None, None] - corners[None], axis=-1).min(-1)  # (texts, boxes)
    reach = np.maximum(np.linalg.norm(sides[:, 1] - sides[:, 0], axis=-1) / 2, _LEAST_REACH)
    # A pair out of reach costs more than any within, so that no far pair takes a near text's box.
    cost = np.where(away <= reach, away, away.max() * len(texts) + away + 1)
    pairs: Iterator[tuple[int, int]] = zip(*linear_sum_assignment(cost), strict=True)
    box_of_text = {int(text): int(box) for text, box in pairs}
    for index in range(len(texts)):
        box = box_of_text.get(index)
        yield None if box is None or away[index, box] > reach[box] else box
