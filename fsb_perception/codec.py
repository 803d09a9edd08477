"""The fields of a face, one row each: messages, the lines of a replay and JSON follow from them.

    core type            face.quality.flags = QualityFlag.SMALL | QualityFlag.DARK
    ROS message          message.quality_flags = 17
    row of a replay      row["quality_flags"] = ["SMALL", "DARK"]
    JSON of a picture    the same, without the fields that need more than one image

A new field takes a line in the .msg file, an attribute in ``types.py``, and one row here. A test
compares the rows with the .msg files, and sends every field through every form and back.

    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from fsb_perception.types import TrackState
    >>> library = MessageLibrary(SimpleNamespace, SimpleNamespace, SimpleNamespace, time=int)
    >>> seen = Face(np.array([0, 0, 8, 9]), 0.5)
    >>> face = FaceAttributes("face_1", TrackState.CONFIRMED, 1, 2, seen)
    >>> message = to_message(face, "header", library)
    >>> message.state, message.box_xyxy, message.quality_flags
    (2, [0.0, 0.0, 8.0, 9.0], 0)
    >>> row = to_row(face)
    >>> row["state"], row["box_xyxy"], row["quality_flags"], row["sharpness"]
    ('CONFIRMED', [0.0, 0.0, 8.0, 9.0], [], None)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

from fsb_perception.field_kinds import (
    ANGLES,
    BOOLEAN,
    BOX,
    COUNT,
    FLAGS,
    LANDMARKS,
    NUMBER,
    SHARE,
    SHARES,
    STAMP,
    STATE,
    TEXT,
    TEXTS,
    Kind,
    MessageLibrary,
)
from fsb_perception.types import AttributeEstimate, Face, FaceAttributes, Quality

Row = dict[str, Any]
"""What JSON can hold, by the names of the message's fields."""


@dataclass(frozen=True)
class Field:
    """One field of a face or of an estimate.

    Attributes:
        name: of the field in the message, the row and the JSON.
        kind: converters of its value.
        path: attribute of the core type, for instance "face.score"; empty if it equals the name.
        of_one_image: known from one image alone, so the JSON of a picture has it too.

    >>> Field("looks", COUNT).plain(AttributeEstimate("emotion", ("happy", "sad"), looks=3))
    3
    """

    name: str
    kind: Kind
    path: str = ""
    of_one_image: bool = True

    def plain(self, owner: FaceAttributes | AttributeEstimate) -> Any:
        """Return the field's plain Python value."""
        return self.kind.plain(self._get(owner))

    @cached_property
    def _get(self) -> Callable[[FaceAttributes | AttributeEstimate], Any]:
        return attrgetter(self.path or self.name)


FACE_FIELDS = (
    Field("face_id", TEXT),
    Field("state", STATE, of_one_image=False),
    Field("first_seen", STAMP, of_one_image=False),
    Field("last_seen", STAMP, of_one_image=False),
    Field("box_xyxy", BOX, "face.box_xyxy"),
    Field("score", SHARE, "face.score"),
    Field("landmarks_xy", LANDMARKS, "face.landmarks_xy"),
    Field("quality", SHARE, "quality.score"),
    Field("quality_flags", FLAGS, "quality.flags"),
    Field("sharpness", NUMBER, "quality.sharpness"),
    Field("brightness", NUMBER, "quality.brightness"),
    Field("head_rpy", ANGLES, "quality.head_rpy"),
)
ESTIMATE_FIELDS = (
    Field("task", TEXT),
    Field("label", TEXT),
    Field("confidence", SHARE),
    Field("labels", TEXTS),
    Field("probabilities", SHARES),
    Field("raw_label", TEXT, of_one_image=False),
    Field("raw_confidence", SHARE, of_one_image=False),
    Field("value", NUMBER),
    Field("value_stddev", NUMBER),
    Field("unit", TEXT),
    Field("stable", BOOLEAN, of_one_image=False),
    Field("since", STAMP, of_one_image=False),
    Field("last_look", STAMP, of_one_image=False),
    Field("looks", COUNT, of_one_image=False),
)

# Messages


def to_message(face: FaceAttributes, header: Any, library: MessageLibrary) -> Any:
    """Return one followed face as a ``FaceAttributes`` message.

    Args:
        face: in pixels of its image.
        header: of the image, unchanged.
        library: makes the message. The position in space is not known here: NONE and NaN.
    """
    return library.face(
        header=header,
        **_message_fields(FACE_FIELDS, face, library),
        position_source=0,
        position=library.point(x=math.nan, y=math.nan, z=math.nan),
        position_stddev=math.nan,
        estimates=[
            library.estimate(**_message_fields(ESTIMATE_FIELDS, estimate, library))
            for estimate in face.estimates
        ],
    )


def from_message(message: Any) -> FaceAttributes:
    """Return the face of a ``FaceAttributes`` message of any library."""
    return _face(_read_fields(FACE_FIELDS, message), map(_estimate_from_message, message.estimates))


def _estimate_from_message(message: Any) -> AttributeEstimate:
    return AttributeEstimate(**_read_fields(ESTIMATE_FIELDS, message))


def _message_fields(
    fields: Iterable[Field], owner: FaceAttributes | AttributeEstimate, library: MessageLibrary
) -> dict[str, Any]:
    return {field.name: field.kind.write(library, field.plain(owner)) for field in fields}


def _read_fields(fields: Iterable[Field], message: Any) -> dict[str, Any]:
    return {
        field.path or field.name: field.kind.core(field.kind.read(getattr(message, field.name)))
        for field in fields
    }


# Rows and JSON


def to_row(face: FaceAttributes) -> Row:
    """Return all that a message holds of a face, ready for JSON.

    Stamps are nanoseconds, states and flags are names, NaN is None.
    """
    row = _json_fields(FACE_FIELDS, face)
    return row | {"estimates": [_json_fields(ESTIMATE_FIELDS, e) for e in face.estimates]}


def from_row(row: Row) -> FaceAttributes:
    """Return the face of a row that `to_row` made."""
    estimates = (
        AttributeEstimate(**_core_fields(ESTIMATE_FIELDS, item)) for item in row["estimates"]
    )
    return _face(_core_fields(FACE_FIELDS, row), estimates)


def to_picture_json(face: FaceAttributes) -> Row:
    """Return what one picture shows of a face, ready for JSON: ``fsb image --json`` writes it.

    As `to_row` without the fields that need more than one image; landmarks are five pairs,
    estimates are found by task, and probabilities by label.
    """
    row = _json_fields((field for field in FACE_FIELDS if field.of_one_image), face)
    values = row["landmarks_xy"]
    row["landmarks_xy"] = [list(pair) for pair in zip(values[::2], values[1::2], strict=True)]
    return row | {"estimates": {e.task: _picture_estimate(e) for e in face.estimates}}


def _picture_estimate(estimate: AttributeEstimate) -> Row:
    row = _json_fields((field for field in ESTIMATE_FIELDS if field.of_one_image), estimate)
    del row["task"]
    row["probabilities"] = dict(zip(row.pop("labels"), row["probabilities"], strict=False))
    return row


def _json_fields(fields: Iterable[Field], owner: FaceAttributes | AttributeEstimate) -> Row:
    return {field.name: field.kind.to_json(field.plain(owner)) for field in fields}


def _core_fields(fields: Iterable[Field], row: Row) -> dict[str, Any]:
    return {
        field.path or field.name: field.kind.core(field.kind.from_json(row[field.name]))
        for field in fields
    }


def _face(values: Mapping[str, Any], estimates: Iterable[AttributeEstimate]) -> FaceAttributes:
    """Build a face from its values by path: ``face.score`` is the score of its `Face`."""
    parts: dict[str, dict[str, Any]] = {"": {}, "face": {}, "quality": {}}
    for path, value in values.items():
        part, _, name = path.rpartition(".")
        parts[part][name] = value
    face, quality = Face(**parts["face"]), Quality(**parts["quality"])
    return FaceAttributes(**parts[""], face=face, quality=quality, estimates=tuple(estimates))
