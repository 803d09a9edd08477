"""Truth that was drawn over the images: ``foxglove_msgs/ImageAnnotations`` in a bag.

    /front/annotations
      points    a closed line (LINE_LOOP): what bounds it is the box of a face
      texts     at a corner of the box:  ada gender=female age_group=20-29 hidden=0.2
      metadata  of a box, a text or all, where the schema has it:  identity: ada, gender: female

A text begins with the identity, one word, which may be left out; then come tasks with their labels,
and ``hidden`` as in `truth`. What is said closer to a box wins: the metadata of the message, of the
text, the text itself, the metadata of the box. Read are CDR, as ROS 2 records it, and JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from fsb_perception.replay.truth.annotation_messages import Drawn, drawn_annotations
from fsb_perception.replay.truth.statements import Corners, Statement, TruthError, explained

_SECOND = 1_000_000_000
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
    def noted(self) -> dict[str, str]:
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

    def stamp_of(self, one: _Annotation) -> int:
        """Its own, unless the message has one for all; 0 if there is neither."""
        times = [time.stamp for time in (self.timestamp, one.timestamp) if time]
        return next(filter(None, times), 0)


class _Box(NamedTuple):
    stamp: int
    line: _Line
    corners: Corners


def read_annotations(path: Path) -> list[Statement]:
    """The boxes of every ``/CAMERA/annotations`` of a bag, with what is written at them.

    Raises:
        TruthError: no such bag or topic, or a message that says nothing that can be.
        BagError: the packages that read bags are missing.
    """
    found = [said for drawn in drawn_annotations(path) for said in _statements(path, drawn)]
    if not found:
        raise TruthError(f"{path}: its annotations hold no box: draw each as a closed line")
    return found


def _statements(path: Path, drawn: Drawn) -> list[Statement]:
    when = drawn.received
    try:
        message = _Annotations.model_validate(drawn.message)
        boxes = _boxes(message)
        when = boxes[0].stamp if boxes else when
        return [
            _statement(drawn.camera, box, message.noted | words | box.line.noted)
            for box, words in zip(boxes, _words_at(message, boxes), strict=True)
        ]
    except ValueError as error:  # pydantic's too
        said = explained(error) if isinstance(error, ValidationError) else str(error)
        raise TruthError(f"{path}: {drawn.topic} at {when} ns: {said}") from None


def _boxes(message: _Annotations) -> list[_Box]:
    lines = [p for p in message.points if p.type == _LINE_LOOP and len(p.points) >= _FEWEST_CORNERS]
    boxes = [_Box(message.stamp_of(line), line, line.box_xyxy) for line in lines]
    for box in boxes:
        if not box.stamp:
            raise ValueError(
                f"the box {box.corners} has no timestamp: give it that of its image's header"
            )
    return boxes


def _statement(camera: str, box: _Box, said: dict[str, str]) -> Statement:
    own = {name: said.pop(name) for name in ("identity", "hidden") if name in said}
    values = {"camera": camera, "stamp": box.stamp, "box_xyxy": box.corners, "attributes": said}
    return Statement.model_validate(values | own)


def _words_at(message: _Annotations, boxes: Sequence[_Box]) -> list[dict[str, str]]:
    """What is written at each box."""
    texts = [text for text in message.texts if text.text.strip()]
    at = _assigned([text.position for text in texts], [box.corners for box in boxes])
    words: list[dict[str, str]] = [{} for _ in boxes]
    for text, index in zip(texts, at, strict=True):
        place = f"text {text.text!r} at ({text.position.x:.0f}, {text.position.y:.0f})"
        if index is None:
            raise ValueError(f"{place} is at no corner of a box that has no other text")
        if message.stamp_of(text) not in (0, boxes[index].stamp):
            raise ValueError(
                f"{place} has stamp {message.stamp_of(text)}, its box {boxes[index].stamp}"
            )
        words[index] = text.noted | parse_words(text.text)
    return words


def parse_words(text: str) -> dict[str, str]:
    """What the text at a box says, by name.

    >>> parse_words("ada gender=female age_group=20-29")
    {'identity': 'ada', 'gender': 'female', 'age_group': '20-29'}

    Raises:
        ValueError: a word that is neither the first nor NAME=VALUE, or a name said twice.
    """
    said: dict[str, str] = {}
    for number, word in enumerate(text.split()):
        name, sign, value = word.partition("=")
        if not sign and number == 0:
            name, value = "identity", word
        elif not sign:
            raise ValueError(
                f"text {text!r}: {word!r} is not NAME=VALUE, as all must be after the identity, "
                "which is one word"
            )
        if name in said:
            raise ValueError(f"text {text!r}: {name} is said twice")
        said[name] = value
    return said


def _assigned(texts: Sequence[_Point], boxes: Sequence[Corners]) -> Iterator[int | None]:
    """The box of each text: every box takes one at most, and all together are closest."""
    from scipy.optimize import linear_sum_assignment

    if not texts or not boxes:
        yield from (None for _ in texts)
        return
    at = np.array([(text.x, text.y) for text in texts])
    sides = np.array(boxes).reshape(-1, 2, 2)
    corners = np.stack([sides[:, [i, j], [0, 1]] for i in (0, 1) for j in (0, 1)], axis=1)
    away = np.linalg.norm(at[:, None, None] - corners[None], axis=-1).min(-1)  # (texts, boxes)
    reach = np.maximum(np.linalg.norm(sides[:, 1] - sides[:, 0], axis=-1) / 2, _LEAST_REACH)
    # Out of reach costs more than anything within, so that no far pair takes a near text's box.
    cost = np.where(away <= reach, away, away.max() * len(texts) + away + 1)
    taken: dict[Any, Any] = dict(zip(*linear_sum_assignment(cost), strict=True))
    for index in range(len(texts)):
        box = taken.get(index)
        yield None if box is None or away[index, box] > reach[box] else int(box)
