"""Any face that the types allow, as hypothesis strategies."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from hypothesis import strategies as st

from fsb_perception.types import (
    UNKNOWN,
    AttributeEstimate,
    Face,
    FaceAttributes,
    Quality,
    QualityFlag,
    TrackState,
)

LAST = (2**31 - 1) * 1_000_000_000 + 999_999_999  # ns: the last stamp that a message can hold


def assert_same(one: object, other: object) -> None:
    """Equal field by field, NaN equal to NaN, and of the same plain type."""
    if dataclasses.is_dataclass(one):
        assert type(one) is type(other)
        for item in dataclasses.fields(one):
            assert_same(getattr(one, item.name), getattr(other, item.name))
    elif isinstance(one, tuple) and one and dataclasses.is_dataclass(one[0]):
        assert len(one) == len(other)  # type: ignore[arg-type]
        for pair in zip(one, other, strict=True):  # type: ignore[call-overload]
            assert_same(*pair)
    else:
        np.testing.assert_equal(other, one)


def floats(least: float, most: float) -> st.SearchStrategy[float]:
    return st.floats(least, most, width=32)


# A zero ends a string in C, and so in a message.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
unit = floats(0, 1)
known_or_not = st.just(math.nan) | floats(-1e6, 1e6)
stamps = st.integers(0, LAST)


@st.composite
def estimates(draw: st.DrawFn) -> AttributeEstimate:
    labels = tuple(draw(st.lists(texts, max_size=4, unique=True)))
    count = draw(st.sampled_from([0, len(labels)]))
    return AttributeEstimate(
        task=draw(texts),
        labels=labels,
        label=draw(st.sampled_from((*labels, UNKNOWN))),
        confidence=draw(unit),
        probabilities=tuple(draw(st.lists(unit, min_size=count, max_size=count))),
        raw_label=draw(st.sampled_from((*labels, UNKNOWN))),
        raw_confidence=draw(unit),
        value=draw(known_or_not),
        value_stddev=draw(known_or_not),
        unit=draw(st.sampled_from(["", "year"])),
        stable=draw(st.booleans()),
        since=draw(stamps),
        last_look=draw(stamps),
        looks=draw(st.integers(0, 2**32 - 1)),
    )


@st.composite
def followed_faces(draw: st.DrawFn) -> FaceAttributes:
    left, top = draw(floats(-1000, 1000)), draw(floats(-1000, 1000))
    landmarks = draw(st.lists(known_or_not, min_size=10, max_size=10))
    return FaceAttributes(
        face_id=draw(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)),
        state=draw(st.sampled_from(TrackState)),
        first_seen=draw(stamps),
        last_seen=draw(stamps),
        face=Face(
            np.array([left, top, left + 8, top + 9], np.float32),
            draw(unit),
            np.array(landmarks, np.float32).reshape(5, 2),
        ),
        quality=Quality(
            score=draw(unit),
            flags=QualityFlag(draw(st.integers(0, 63))),
            sharpness=draw(known_or_not),
            brightness=draw(known_or_not),
            head_rpy=tuple(draw(st.lists(known_or_not, min_size=3, max_size=3))),  # type: ignore[arg-type]
        ),
        estimates=tuple(draw(st.lists(estimates(), max_size=2))),
    )
