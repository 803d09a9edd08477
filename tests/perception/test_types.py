from __future__ import annotations

import numpy as np
import pytest

from fsb_perception.types import AttributeEstimate, Face, check_image

BOX = np.array([10, 20, 30, 50], np.float32)


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (None, "NoneType"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4), np.uint8), r"\(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (np.zeros((4, 0, 3), np.uint8), r"\(4, 0, 3\)"),
    ],
)
def test_what_is_no_image_is_refused_by_name(image: object, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        check_image(image)


@pytest.mark.parametrize(
    ("box", "score", "landmarks", "named"),
    [
        ([0, 0, 1], 0.5, None, "four finite"),
        ([0, 0, np.nan, 1], 0.5, None, "four finite"),
        ([0, 0, np.inf, 1], 0.5, None, "four finite"),
        ([10, 0, 10, 5], 0.5, None, "right > left"),
        ([0, 5, 10, 4], 0.5, None, "bottom > top"),
        (BOX, 1.5, None, "1.5"),
        (BOX, -0.1, None, "-0.1"),
        (BOX, np.nan, None, "nan"),
        (BOX, 0.5, np.zeros((4, 2)), r"\(4, 2\)"),
    ],
)
def test_a_face_that_cannot_be_is_refused(
    box: object, score: float, landmarks: object, named: str
) -> None:
    extra = () if landmarks is None else (landmarks,)
    with pytest.raises(ValueError, match=named):
        Face(box, score, *extra)  # type: ignore[arg-type]


def test_a_box_may_pass_the_border_and_landmarks_may_be_unknown() -> None:
    face = Face(np.array([-50, -20, 700, 900]), 1.0)
    assert face.box_xyxy.dtype == np.float32
    assert not face.has_landmarks
    assert np.isnan(face.landmarks_xy).all()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"label": "martian"}, "martian"),
        ({"probabilities": (0.5,)}, "gender.* 1 probabilities"),
        ({"label": "male", "confidence": float("nan")}, "gender.* must be finite, got nan"),
        ({"raw_confidence": float("inf")}, "gender.* must be finite"),
        ({"probabilities": (float("nan"), 0.5)}, "gender.* must be finite"),
    ],
)
def test_an_estimate_agrees_with_its_labels(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        AttributeEstimate("gender", ("male", "female"), **fields)  # type: ignore[arg-type]
