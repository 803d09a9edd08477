from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from fsb_perception.alignment import Aligner
from fsb_perception.quality import (
    _FACE_MODEL_CM,
    QualityConfig,
    head_rpy,
    measure,
    outside_share,
)
from fsb_perception.types import Face, Image, Quality, QualityFlag
from tests.builders import face, frame

CONFIG = QualityConfig()


def measured(image: Image, one: Face) -> Quality:
    return measure(image, Aligner(112).align(image, one), one, CONFIG)


def blurred(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 4), np.uint8)


@pytest.mark.parametrize(
    ("image", "one", "flags"),
    [
        (frame(), face(), QualityFlag(0)),
        (frame(), face(size=20), QualityFlag.SMALL),
        (blurred(frame()), face(), QualityFlag.BLURRED),
        (frame(level=128), face(), QualityFlag.BLURRED),
        (frame() // 8, face(), QualityFlag.DARK),
        (frame(), face(x=10), QualityFlag.TRUNCATED),
        (frame(), face(y=-30), QualityFlag.TRUNCATED),
        (frame(level=0), face(size=10, x=0), QualityFlag.SMALL | QualityFlag.BLURRED
            | QualityFlag.DARK | QualityFlag.TRUNCATED),
    ],
)  # fmt: skip
def test_flags_name_the_reasons(image: Image, one: Face, flags: QualityFlag) -> None:
    quality = measured(image, one)
    assert quality.flags == flags
    assert (quality.score == 1.0) == (not flags)


def test_brightness_is_the_mean_luma() -> None:
    assert measured(frame(level=51), face()).brightness == pytest.approx(0.2)


def test_sharpness_does_not_depend_on_the_size_of_the_aligned_face() -> None:
    image = blurred(frame())
    values = [
        measure(image, Aligner(side).align(image, face(size=300)), face(size=300), CONFIG).sharpness
        for side in (112, 160, 224)
    ]
    assert max(values) < 2 * min(values)


@pytest.mark.parametrize("step", [1.0, 0.9, 0.7, 0.5, 0.25, 0.1])
def test_a_smaller_face_never_scores_higher(step: float) -> None:
    larger, smaller = measured(frame(), face(size=80)), measured(frame(), face(size=80 * step))
    assert 0.0 <= smaller.score <= larger.score <= 1.0


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ([0, 0, 640, 480], 0.0),
        ([-10, 0, 10, 20], 0.5),
        ([630, 470, 650, 490], 0.75),
        ([-30, -30, -10, -10], 1.0),
        ([-640, -480, 1280, 960], 8 / 9),
    ],
)
def test_the_share_outside(box: list[int], share: float) -> None:
    assert outside_share(Face(np.array(box), 0.9), 640, 480) == pytest.approx(share)


def posed(roll: float, pitch: float, yaw: float, x: float = 0.0) -> Face:
    """Make the generic face 60 cm away, turned as REP 103 says, ``x`` cm to the right."""
    (cr, sr), (cp, sp), (cy, sy) = ((math.cos(a), math.sin(a)) for a in (roll, pitch, yaw))
    turn = (
        np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    )
    axes = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    points = _FACE_MODEL_CM @ (axes.T @ turn @ axes).T + [x, 0, 60]
    pixels = points[:, :2] / points[:, 2:] * 640 + [320, 240]
    low, high = pixels.min(axis=0) - 20, pixels.max(axis=0) + 20
    return Face(np.concatenate([low, high]), 0.9, pixels.astype(np.float32))


@pytest.mark.parametrize(
    "rpy",
    [(0, 0, 0), (0.4, 0, 0), (-0.4, 0, 0), (0, 0.3, 0), (0, -0.3, 0), (0, 0, 0.6), (0, 0, -0.6),
     (0.2, -0.2, 0.4), (-0.5, 0.2, -0.8)],
)  # fmt: skip
def test_the_pose_of_a_known_head_is_found(rpy: tuple[float, float, float]) -> None:
    assert head_rpy(posed(*rpy), 640, 480) == pytest.approx(rpy, abs=0.12)


def test_signs_are_those_of_the_right_handed_head_frame() -> None:
    right_eye, left_eye, nose, *mouth = posed(0.3, 0, 0).landmarks_xy
    assert right_eye[1] > left_eye[1], "positive roll: the right ear goes down"
    straight = posed(0, 0, 0).landmarks_xy
    assert posed(0, 0.3, 0).landmarks_xy[2, 1] > straight[2, 1] + 10, "positive pitch: nose down"
    assert posed(0, 0, 0.3).landmarks_xy[2, 0] > straight[2, 0] + 10, "positive yaw: to its left"
    assert len(mouth) == 2
    assert np.isfinite(nose).all()


def test_a_profile_is_flagged_and_scores_less() -> None:
    front, side = (measured(frame(), posed(0, 0, yaw)) for yaw in (0.0, 1.0))
    assert QualityFlag.PROFILE not in front.flags
    assert QualityFlag.PROFILE in side.flags
    assert side.score < front.score


@pytest.mark.parametrize(
    "one",
    [
        face(landmarks=False),
        Face(np.array([0, 0, 50, 50]), 0.9, np.full((5, 2), 20.0)),
        Face(np.array([0, 0, 50, 50]), 0.9, np.repeat([10.0, 20, 30, 40, 50], 2).reshape(5, 2)),
    ],
    ids=["no landmarks", "on one spot", "on one line"],
)  # fmt: skip
def test_a_pose_that_cannot_be_known_is_nan_and_no_reproach(one: Face) -> None:
    quality = measured(frame(), one)
    rpy = np.array(quality.head_rpy)
    assert np.isnan(rpy).all() or np.isfinite(rpy).all()
    if not one.has_landmarks:
        assert np.isnan(rpy).all()
        assert QualityFlag.PROFILE not in quality.flags
        assert quality.score == 1.0
