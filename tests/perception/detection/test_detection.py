from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fsb_perception.detection import DETECTORS, build_detector, yunet_onnx
from fsb_perception.detection.base import DetectorConfig, DetectorError, shrink
from fsb_perception.registry import UnknownNameError
from fsb_perception.samples import clip
from fsb_perception.types import Image

PORTRAITS = sorted(Path(clip.__file__).parent.glob("*.jpg"))


def portrait(path: Path) -> Image:
    image = cv2.imread(str(path))
    assert image is not None
    return image


@pytest.mark.parametrize("path", PORTRAITS, ids=lambda path: path.stem)
def test_the_sample_portraits_hold_one_face_each(path: Path) -> None:
    image = portrait(path)
    faces = build_detector(DetectorConfig()).detect(image)
    assert len(faces) == 1
    right_eye, left_eye, nose, right_mouth, left_mouth = faces[0].landmarks_xy
    assert right_eye[0] < nose[0] < left_eye[0]  # the subject's right is the picture's left
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])
    left, top, right, bottom = faces[0].box_xyxy
    assert left < nose[0] < right
    assert top < nose[1] < bottom


@pytest.mark.parametrize("factor", [0.5, 2.0, 5.0])
def test_pixels_are_those_of_the_picture_given(factor: float) -> None:
    image = cv2.copyMakeBorder(portrait(PORTRAITS[0]), 60, 60, 60, 60, cv2.BORDER_REPLICATE)
    scaled = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    detector = build_detector(DetectorConfig())
    box, scaled_box = detector.detect(image)[0].box_xyxy, detector.detect(scaled)[0].box_xyxy
    np.testing.assert_allclose(scaled_box / factor, box, atol=0.12 * (box[2] - box[0]))


def test_at_most_max_faces_the_best_first() -> None:
    tile = cv2.resize(portrait(PORTRAITS[0]), (120, 160))
    wall = np.tile(tile, (2, 4, 1))
    everyone = build_detector(DetectorConfig()).detect(wall)
    assert len(everyone) == 8
    scores = [face.score for face in everyone]
    assert scores == sorted(scores, reverse=True)
    assert len(build_detector(DetectorConfig(max_faces=3)).detect(wall)) == 3


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((480, 640, 3), np.uint8),
        np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((2, 3000, 3), np.uint8),
    ],
    ids=["black", "noise", "one-pixel", "a-line"],
)
def test_pictures_without_a_face_give_none(image: Image) -> None:
    assert build_detector(DetectorConfig()).detect(image) == []


@pytest.mark.parametrize(
    "image", [np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))]
)
def test_what_is_no_picture_is_refused(image: Image) -> None:
    with pytest.raises(ValueError, match="image must"):
        build_detector(DetectorConfig()).detect(image)


@pytest.mark.parametrize("shape", [(480, 640), (352, 480), (333, 511), (720, 1280), (40, 50)])
@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_onnx_runtime_finds_what_opencv_finds(
    shape: tuple[int, int], threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare them to a hundredth of a pixel, at any size, with many faces and doubtful ones."""
    if not yunet_onnx.available():
        pytest.skip("onnx and onnxruntime are not installed: requirements/onnx.txt")
    portraits = [portrait(path) for path in PORTRAITS]
    sheet = np.vstack([np.hstack([cv2.resize(image, (160, 160)) for image in portraits])] * 3)
    image = cv2.resize(sheet, shape[::-1], interpolation=cv2.INTER_AREA)
    config = DetectorConfig(score_threshold=threshold)
    ours = build_detector(config).detect(image)
    monkeypatch.setattr(yunet_onnx, "available", lambda: False)
    theirs = build_detector(config).detect(image)
    assert len(ours) == len(theirs)
    assert len(ours) >= 2 or shape[0] < 100
    for one, other in zip(ours, theirs, strict=True):
        assert np.allclose(one.box_xyxy, other.box_xyxy, atol=0.01)
        assert np.allclose(one.landmarks_xy, other.landmarks_xy, atol=0.01)
        assert one.score == pytest.approx(other.score, abs=1e-4)


@pytest.mark.parametrize("text", [b"", b"this is no model"])
def test_a_file_that_is_no_model_is_named(text: bytes, tmp_path: Path) -> None:
    if not yunet_onnx.available():
        pytest.skip("onnx and onnxruntime are not installed: requirements/onnx.txt")
    path = tmp_path / "other.onnx"
    path.write_bytes(text)
    with pytest.raises(DetectorError, match=r"other\.onnx is no (ONNX file|YuNet of 2023)"):
        build_detector(DetectorConfig(model_file=str(path)))


def test_an_unknown_detector_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'yunet'"):
        build_detector(DetectorConfig(name="yunett"))


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_a_missing_model_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"nothing\.onnx"):
        build_detector(DetectorConfig(name=name, model_file=str(tmp_path / "nothing.onnx")))


@pytest.mark.parametrize("name", sorted(set(DETECTORS) - {"yunet"}))
def test_nothing_is_fetched_unasked(name: str) -> None:
    with pytest.raises(DetectorError, match=r"detector\.allow_download"):
        build_detector(DetectorConfig(name=name))


def test_face_alignment_detectors_return_our_faces() -> None:
    """Use its YuNet, the only model of that library that is available offline."""
    pytest.importorskip("face_alignment", reason="face-alignment is not installed")
    from fsb_perception.detection.face_alignment import FaceAlignmentDetector
    from fsb_perception.detection.yunet import find_model

    config = DetectorConfig(model_file=str(find_model()))
    image = portrait(PORTRAITS[0])
    theirs = FaceAlignmentDetector("yunet", config).detect(image)
    ours = build_detector(DetectorConfig()).detect(image)
    np.testing.assert_allclose(theirs[0].box_xyxy, ours[0].box_xyxy, atol=2.0)
    assert not theirs[0].has_landmarks


@pytest.mark.parametrize(
    ("shape", "max_side", "multiple", "expected"),
    [
        ((480, 640), 640, 1, (480, 640)),
        ((480, 640), 320, 1, (240, 320)),
        ((10, 4000), 400, 1, (1, 400)),
        ((480, 640), 480, 32, (352, 480)),  # 360 would be padded to 384
        ((720, 1280), 480, 32, (270, 480)),  # 256 is too far from it
        ((350, 470), 480, 32, (350, 470)),  # a small image stays as it is
        ((10, 4000), 400, 32, (1, 400)),
    ],
)
def test_shrink(
    shape: tuple[int, int], max_side: int, multiple: int, expected: tuple[int, int]
) -> None:
    small, ratio = shrink(np.zeros((*shape, 3), np.uint8), max_side, multiple)
    assert small.shape[:2] == expected
    np.testing.assert_allclose(ratio * expected[::-1], shape[::-1], rtol=1e-5)
