"""Every field of a face goes through every form and comes back the same."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from fsb_perception.codec import (
    ESTIMATE_FIELDS,
    FACE_FIELDS,
    Field,
    from_message,
    from_row,
    to_message,
    to_picture_json,
    to_row,
)
from fsb_perception.field_kinds import MessageLibrary
from fsb_perception.replay.rows import line
from fsb_perception.types import AttributeEstimate, Face, FaceAttributes, Quality, TrackState
from tests.builders import attributes, estimate
from tests.paths import ROOT
from tests.perception.any_faces import assert_same, followed_faces

# Fields of the message that the core does not know: the image's header, and a position in space.
NOT_OF_THE_CORE = ["header", "position_source", "position", "position_stddev"]

LIBRARY = MessageLibrary(
    face=SimpleNamespace,
    estimate=SimpleNamespace,
    point=SimpleNamespace,
    time=lambda stamp: SimpleNamespace(sec=stamp // 10**9, nanosec=stamp % 10**9),
)

any_face = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def fields_of_msg(name: str) -> list[str]:
    """Return the names of the fields in a .msg file, without its constants."""
    lines = (ROOT / "msg" / f"{name}.msg").read_text().splitlines()
    declared = [text for text in lines if text and not text.startswith("#") and "=" not in text]
    return [text.split()[1] for text in declared]


def attribute_paths(kind: type, prefix: str = "") -> list[str]:
    """List the dotted names of the attributes of a type of the core."""
    return [prefix + item.name for item in dataclasses.fields(kind)]


def test_the_table_has_the_fields_of_the_face_message() -> None:
    names = [field.name for field in FACE_FIELDS]
    ours = [name for name in fields_of_msg("FaceAttributes") if name not in NOT_OF_THE_CORE]
    assert [*names, "estimates"] == ours


def test_the_table_has_the_fields_of_the_estimate_message() -> None:
    assert [field.name for field in ESTIMATE_FIELDS] == fields_of_msg("AttributeEstimate")


def test_every_attribute_of_the_types_has_one_row() -> None:
    paths = attribute_paths(FaceAttributes) + attribute_paths(Face, "face.")
    paths += attribute_paths(Quality, "quality.")
    nested = {"face", "quality", "estimates"}
    assert sorted(field.path or field.name for field in FACE_FIELDS) == sorted({*paths} - nested)
    paths = attribute_paths(AttributeEstimate)
    assert sorted(field.path or field.name for field in ESTIMATE_FIELDS) == sorted(paths)


@given(followed_faces())
@any_face
def test_a_message_comes_back_the_same(face: FaceAttributes) -> None:
    assert_same(face, from_message(to_message(face, "header", LIBRARY)))


@given(followed_faces())
@any_face
def test_a_row_comes_back_the_same(face: FaceAttributes) -> None:
    assert_same(face, from_row(json.loads(line(to_row(face)))))


@given(followed_faces())
@any_face
def test_the_json_of_a_picture_agrees_with_the_row(face: FaceAttributes) -> None:
    row, picture = to_row(face), json.loads(json.dumps(to_picture_json(face), allow_nan=False))
    assert list(chain(*picture.pop("landmarks_xy"))) == row["landmarks_xy"]
    estimates = picture.pop("estimates")
    assert picture.items() <= row.items()
    assert list(estimates) == list(dict.fromkeys(one["task"] for one in row["estimates"]))
    for one in reversed(row["estimates"]):  # of one task twice, the last one counts
        shown = estimates.pop(one["task"], None)
        if shown is not None:
            shares = shown.pop("probabilities")
            assert shares == dict(zip(one["labels"], one["probabilities"], strict=False))
            assert shown.items() <= one.items()


def test_the_row_of_a_face() -> None:
    face = attributes(estimates=[estimate("gender", best=1)])
    assert to_row(face) == {
        "face_id": "face_1",
        "state": "CONFIRMED",
        "first_seen": 1_700_000_000_000_000_000,
        "last_seen": 1_700_000_001_000_000_000,
        "box_xyxy": [275.0, 181.5, 365.0, 298.5],
        "score": 0.9,
        "landmarks_xy": pytest.approx(
            [298.4, 222.0, 341.6, 222.0, 320.0, 249.0, 302.9, 270.6, 337.1, 270.6], abs=1e-4
        ),
        "quality": 0.8,
        "quality_flags": [],
        "sharpness": 200.0,
        "brightness": 0.5,
        "head_rpy": [0.0, 0.1, -0.2],
        "estimates": [
            {
                "task": "gender",
                "label": "female",
                "confidence": 0.9,
                "labels": ["male", "female"],
                "probabilities": pytest.approx([0.1, 0.9]),
                "raw_label": "female",
                "raw_confidence": 0.9,
                "value": None,
                "value_stddev": None,
                "unit": "",
                "stable": True,
                "since": 1_700_000_000_000_000_000,
                "last_look": 1_700_000_000_000_000_000,
                "looks": 10,
            }
        ],
    }


def test_the_json_of_a_picture() -> None:
    face = attributes(estimates=[estimate("gender", best=1), AttributeEstimate("age", ("0", "1"))])
    shown = to_picture_json(face)
    assert list(shown) == [
        "face_id", "box_xyxy", "score", "landmarks_xy", "quality", "quality_flags", "sharpness",
        "brightness", "head_rpy", "estimates",
    ]  # fmt: skip
    assert np.shape(shown["landmarks_xy"]) == (5, 2)
    assert shown["estimates"]["age"]["probabilities"] == {}
    assert shown["estimates"]["gender"] == {
        "label": "female",
        "confidence": 0.9,
        "probabilities": pytest.approx({"male": 0.1, "female": 0.9}),
        "value": None,
        "value_stddev": None,
        "unit": "",
    }


def numpy_scalars(owner: Any) -> Any:
    """Return the same value of the core, with each number as a NumPy scalar."""
    changes = {}
    for item in dataclasses.fields(owner):
        value = getattr(owner, item.name)
        if isinstance(value, (bool, float)) or type(value) is int:
            changes[item.name] = np.asarray(value)[()]
        elif isinstance(value, tuple) and value and isinstance(value[0], float):
            changes[item.name] = tuple(np.array(value, np.float32))
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            changes[item.name] = tuple(map(numpy_scalars, value))
        elif isinstance(value, (Face, Quality)):
            changes[item.name] = numpy_scalars(value)
    return dataclasses.replace(owner, **changes)


def leaves(value: Any) -> list[object]:
    if isinstance(value, SimpleNamespace):
        value = vars(value)
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


@pytest.mark.parametrize(
    "form", [to_row, to_picture_json, lambda face: to_message(face, "", LIBRARY)]
)
def test_numbers_of_numpy_become_plain_in_every_form(form: Any) -> None:
    face = numpy_scalars(attributes(state=TrackState.TENTATIVE))
    kinds = {type(leaf) for leaf in leaves(form(face))}
    assert kinds <= {str, int, float, bool, type(None)}


def test_a_probability_that_is_not_a_number_is_not_hidden() -> None:
    row = to_row(attributes())
    row["estimates"][0]["confidence"] = math.nan
    with pytest.raises(ValueError, match="not JSON compliant"):
        line(row)
    with pytest.raises(ValueError, match="must be finite, got nan"):
        from_row(row)


@pytest.mark.parametrize("field", [*FACE_FIELDS, *ESTIMATE_FIELDS], ids=lambda field: field.name)
def test_every_kind_reads_what_it_writes(field: Field) -> None:
    face = attributes()
    owner = face if field in FACE_FIELDS else face.estimates[0]
    kind, plain = field.kind, field.plain(owner)
    for back in (kind.from_json(kind.to_json(plain)), kind.read(kind.write(LIBRARY, plain))):
        np.testing.assert_equal(kind.plain(kind.core(back)), plain)
