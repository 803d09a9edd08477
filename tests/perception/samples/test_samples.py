"""The sample clips: constant pixels, faces that a detector finds, photographs with a source."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from fsb_perception import samples
from fsb_perception.detection import build_detector
from fsb_perception.detection.base import DetectorConfig
from fsb_perception.registry import UnknownNameError
from fsb_perception.samples import clip
from fsb_perception.samples.scenario import SCENARIOS, STILLS
from fsb_perception.types import check_image

FOLDER = Path(samples.__file__).parent


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_clip_is_a_function_of_the_frame_number(name: str) -> None:
    once, again = clip.Clip(name), clip.Clip(name)
    for index in (0, 77, once.count - 1):
        np.testing.assert_array_equal(once.frame(index), again.frame(index + again.count))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_clip_repeats_without_a_jump(name: str) -> None:
    shown = clip.Clip(name)
    last, first, second = (shown.frame(index).astype(int) for index in (-1, 0, 1))
    step = np.abs(second - first).mean()
    assert np.abs(first - last).mean() <= step + 0.5


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_picture_is_a_camera_image(name: str) -> None:
    shown = clip.Clip(name)
    for index in range(0, shown.count, 15):
        picture = shown.frame(index)
        check_image(picture)
        assert picture.shape == (clip.HEIGHT, clip.WIDTH, 3)


def test_frames_begin_with_the_first() -> None:
    for index, picture in enumerate(itertools.islice(clip.frames(), 3)):
        np.testing.assert_array_equal(picture, clip.frame(index))


@pytest.mark.parametrize(
    ("name", "second", "count"),
    [
        ("demo", 0.0, 3),
        ("demo", 3.0, 3),
        ("demo", 8.0, 2),  # one has left
        ("demo", 12.0, 3),  # and is back
        *(("steady", float(second), 3) for second in range(10)),
    ],
)
def test_the_detector_finds_the_faces(name: str, second: float, count: int) -> None:
    detector = build_detector(DetectorConfig())
    faces = detector.detect(clip.Clip(name).frame(round(second * clip.FPS)))
    assert len(faces) == count
    widths = [face.box_xyxy[2] - face.box_xyxy[0] for face in faces]
    assert all(55 <= width <= 190 for width in widths)


def test_unknown_clip_names_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'steady'"):
        clip.Clip("stedy")


def test_every_photograph_is_small_and_its_source_is_named() -> None:
    sources = (FOLDER / "SOURCES.md").read_text(encoding="utf-8")
    pictures = sorted(path.name for path in FOLDER.glob("*.jpg"))
    assert pictures == sorted(still.file for still in STILLS.values())
    for name in pictures:
        assert f"| `{name}` |" in sources
        assert (FOLDER / name).stat().st_size <= 60_000
