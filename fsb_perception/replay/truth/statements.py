"""What is known of the people in a recording: a line a statement, any part of which may be missing.

    {"camera": "front", "stamp": 1700000000033333333, "identity": "ada", "box_xyxy": [1, 2, 3, 4],
     "attributes": {"gender": "female"}}
    {"camera": "front", "start": 1700000000000000000, "end": 1700000009000000000,
     "attributes": {"emotion": "happiness"}, "identity": "ada"}

A statement is of one image (``stamp``) or of all from ``start`` to ``end``, both included. With a
``box_xyxy`` and a stamp it is of the face there; with a box and a range, of whoever's face has its
centre in that region; with an ``identity`` alone, of whoever bears that name in other statements;
with neither, of every face of the camera. As CSV the columns have the same
names, the corners of the box ``left, top, right, bottom``, and attributes a column each. Boxes
drawn over the images of a bag are truth as well; see `annotation_truth`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fsb_perception.errors import FsbError
from fsb_perception.tasks import TASKS

Corners = tuple[float, float, float, float]


class TruthError(FsbError):
    """A truth file that cannot be used; the message names file, line and value."""


class Statement(BaseModel):
    """One line of truth; see the top of this file. Stamps are nanoseconds, boxes pixels."""

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
            raise ValueError("say either stamp, or start and end")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"end {self.end} lies before start {self.start}")
        if self.box_xyxy is not None:
            left, top, right, bottom = self.box_xyxy
            if right <= left or bottom <= top:
                raise ValueError(f"box_xyxy needs right > left and bottom > top: {self.box_xyxy}")
        check_labels(self.attributes)
        return self


def check_labels(attributes: Mapping[str, str]) -> None:
    """Raise `ValueError` where a task or its label is unknown; it names the known ones."""
    for task, label in attributes.items():
        if task not in TASKS:
            raise ValueError(f"unknown task {task!r}; known are {', '.join(TASKS)}")
        if label not in TASKS[task].labels:
            raise ValueError(f"{task} {label!r} is none of {', '.join(TASKS[task].labels)}")


def explained(error: ValidationError) -> str:
    """The first thing that is wrong with a statement: where, why, and the value seen."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "line"
    said = first["msg"].removeprefix("Value error, ")
    return f"{place}: {said}, got {first['input']!r}"
