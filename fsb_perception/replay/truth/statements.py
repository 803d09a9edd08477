"""Statements about the people in a recording, any part of which may be left open.

A statement is about one image (``stamp``), or about all images from ``start`` to ``end``, both
included. Its other parts say which faces there it is about:

    box_xyxy and stamp             the face at that box
    box_xyxy, start and end        every face whose centre lies in that region
    identity, without a box        the person who has that name in other statements
    neither                        every face of the camera
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fsb_perception.errors import FsbError
from fsb_perception.options import explain
from fsb_perception.problems import Problems
from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS

Corners = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


class TruthError(FsbError):
    """Truth that cannot be used; the message names the file, the line and the value.

    >>> raise TruthError("truth.jsonl:2: end 2 lies before start 3")
    Traceback (most recent call last):
    ...
    fsb_perception.replay.truth.statements.TruthError: truth.jsonl:2: end 2 lies before start 3
    """


class Statement(BaseModel):
    """One statement of truth; the top of this module says which faces it is about.

    Attributes:
        camera: its name; "" if there is only one.
        stamp, start, end: in nanoseconds.
        identity: name of the person.
        box_xyxy: in pixels.
        attributes: true labels by task.
        hidden: share of the face that something hides, 0 to 1.

    >>> ada = Statement(stamp=5, identity="ada", attributes={"gender": "female"})
    >>> ada.model_dump(exclude_defaults=True)
    {'stamp': 5, 'identity': 'ada', 'attributes': {'gender': 'female'}}
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    camera: str = ""
    stamp: Annotated[int, Field(ge=0)] | None = None
    start: Annotated[int, Field(ge=0)] | None = None
    end: Annotated[int, Field(ge=0)] | None = None
    identity: str = ""
    box_xyxy: Corners | None = None
    attributes: dict[str, str] = Field(default_factory=dict)
    hidden: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _check(self) -> Statement:
        if (self.stamp is None) == (self.start is None or self.end is None):
            raise ValueError("give either stamp, or start and end")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"end {self.end} lies before start {self.start}")
        if self.box_xyxy is not None:
            left, top, right, bottom = self.box_xyxy
            if right <= left or bottom <= top:
                raise ValueError(f"box_xyxy needs right > left and bottom > top: {self.box_xyxy}")
        check_labels(self.attributes)
        return self


def contradictions(statements: Iterable[Statement]) -> Problems:
    """Count the statements that give a person of one image or range another label than an earlier.

    A person is named by the identity or, without one, by the box; the later label is used.

    >>> ada = {"camera": "front", "stamp": 5, "identity": "ada"}
    >>> truth = [Statement(**ada, attributes={"gender": sex}) for sex in ("female", "male")]
    >>> list(contradictions(truth).values())
    [1]
    """
    problems, known = Problems(), dict[tuple[object, ...], dict[str, str]]()
    for one in statements:
        labels = known.setdefault(
            (one.camera, one.stamp, one.start, one.end, one.identity or one.box_xyxy), {}
        )
        for task, label in one.attributes.items():
            if labels.setdefault(task, label) != label:
                moment = f"{one.stamp if one.stamp is not None else one.start} ns"
                place = f"{one.identity or one.box_xyxy}, camera {one.camera or '-'}, {moment}"
                problems.note("statement of the truth that contradicts an earlier one", place)
                break
    return problems


def check_labels(attributes: Mapping[str, str]) -> None:
    """Raise `UnknownNameError` if a task, or the label of a task, is unknown."""
    for name, label in attributes.items():
        if label not in TASKS[name].labels:
            raise UnknownNameError(name, label, TASKS[name].labels)


@contextmanager
def errors_at(place: str) -> Iterator[None]:
    """Turn an error of the ``with`` block into a `TruthError` whose message begins with a place.

    >>> with errors_at("truth.jsonl:2"):
    ...     Statement(stamp=-1)
    Traceback (most recent call last):
    ...
    fsb_perception.replay.truth.statements.TruthError: truth.jsonl:2: stamp: got -1, \
input should be greater than or equal to 0
    """
    try:
        yield
    except ValidationError as error:
        raise TruthError(f"{place}: {explain(error)}") from None
    except FsbError as error:
        raise TruthError(f"{place}: {error}") from None
