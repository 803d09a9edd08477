from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsb_perception.alignment import TEMPLATE_XY, Aligner
from fsb_perception.types import Face


def placed(scale: float, angle: float, shift: tuple[float, float]) -> Face:
    """Make a face whose landmarks are the template, turned by ``angle`` (rad), scaled and moved."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (TEMPLATE_XY @ turn.T * scale + shift).astype(np.float32)
    return Face(np.concatenate([points.min(axis=0) - 1, points.max(axis=0) + 1]), 0.9, points)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(20, 900),
    st.floats(-1.5, 1.5),
    st.tuples(st.floats(-500, 3000), st.floats(-500, 3000)),
    st.sampled_from([64, 80, 112]),
)
def test_landmarks_land_on_the_template(
    scale: float, angle: float, shift: tuple[float, float], size: int
) -> None:
    face = placed(scale, angle, shift)
    matrix = Aligner(size).transform(face)
    moved = face.landmarks_xy @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(moved, TEMPLATE_XY * size, atol=0.05)


@pytest.mark.parametrize("side", [40, 90, 200, 700])
def test_a_large_face_is_averaged_not_sampled(side: int) -> None:
    """Check that a shrunk checkerboard of single pixels is plain grey."""
    image = np.indices((800, 800)).sum(axis=0)[..., None].repeat(3, axis=2) % 2 * 255
    face = Face(np.array([50, 50, 50 + side, 50 + side], np.float32), 0.9)
    aligned = Aligner(32, "box").align(image.astype(np.uint8), face)
    assert aligned.shape == (32, 32, 3)
    if side >= 90:
        assert np.abs(aligned[4:-4, 4:-4].astype(float) - 127.5).max() < 60


@pytest.mark.parametrize("method", ["landmarks", "box"])
@pytest.mark.parametrize("scale", [30.0, 80.0, 170.0, 400.0])
def test_the_picture_follows_its_landmarks(method: str, scale: float) -> None:
    """Dots at the landmarks appear where the transform says, whatever the shrinking on the way."""
    face = placed(scale, 0.2, (120.0, 90.0))
    image = np.zeros((720, 720, 3), np.uint8)
    radius = max(1, round(scale / 25))
    for x, y in face.landmarks_xy:
        cv2.circle(image, (round(float(x)), round(float(y))), radius, (255, 255, 255), -1)
    aligner = Aligner(80, method)  # type: ignore[arg-type]
    matrix = aligner.transform(face)
    aligned = aligner.align(image, face)[..., 0]
    rounding = 0.5 * float(np.hypot(matrix[0, 0], matrix[1, 0]))  # of the dots to whole pixels
    for x, y in face.landmarks_xy @ matrix[:, :2].T + matrix[:, 2]:
        left, top = int(x) - 7, int(y) - 7
        if min(left, top) < 0 or max(left, top) + 15 > 80:
            continue  # the dot is cut by the border, and so is its centre
        window = aligned[top : top + 15, left : left + 15].astype(float)
        rows, columns = np.indices(window.shape)
        centre = np.array([(columns * window).sum(), (rows * window).sum()]) / window.sum()
        np.testing.assert_allclose((centre[0] + left, centre[1] + top), (x, y), atol=0.6 + rounding)


@pytest.mark.parametrize(
    "box", [(-40, -40, 20, 20), (600, 440, 700, 520), (-5000, -5000, 9000, 9000), (0, 0, 0.5, 0.5)]
)
def test_boxes_past_the_border_repeat_it(box: tuple[float, ...]) -> None:
    image = np.full((480, 640, 3), (10, 120, 240), np.uint8)
    aligned = Aligner(80).align(image, Face(np.array(box, np.float32), 0.9))
    assert (aligned == (10, 120, 240)).all()


def test_without_landmarks_the_box_is_cut() -> None:
    face = Face(np.array([100, 100, 200, 220], np.float32), 0.9)
    np.testing.assert_array_equal(Aligner(80).transform(face), Aligner(80, "box").transform(face))
