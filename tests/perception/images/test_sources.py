"""Sources of pictures, and the error of a source without any."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from fsb_perception.errors import FsbError
from fsb_perception.images.sources import Source, SourceError, open_source
from fsb_perception.registry import UnknownNameError
from fsb_perception.samples import clip

GREYS = (40, 120, 200)


def picture(grey: int) -> np.ndarray:
    return np.full((48, 64, 3), grey, np.uint8)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Make a folder of three pictures, a video of them at 10 frames a second, and broken files."""
    (tmp_path / "folder").mkdir()
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    video = cv2.VideoWriter(str(tmp_path / "video.avi"), codec, 10.0, (64, 48))
    for index, grey in enumerate(GREYS):
        cv2.imwrite(str(tmp_path / "folder" / f"{index}.png"), picture(grey))
        video.write(picture(grey))
    video.release()
    (tmp_path / "folder" / "notes.txt").write_text("no picture")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no jpeg")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    return tmp_path


def greys(source: Source, count: int) -> list[int]:
    return [round(float(p.mean())) for p in itertools.islice(source.pictures, count)]


@pytest.mark.parametrize(
    ("name", "fps", "once"),
    [
        ("folder", clip.FPS, GREYS),
        ("video.avi", 10.0, GREYS),
        ("folder/1.png", clip.FPS, GREYS[1:2]),
    ],
)
def test_a_file_gives_its_pictures_once_or_again_and_again(
    media: Path, name: str, fps: float, once: tuple[int, ...]
) -> None:
    path = str(media / name)
    assert greys(open_source(path, loop=False), 9) == pytest.approx(once, abs=2)
    looped = open_source(path)
    assert looped.fps == fps
    assert greys(looped, 7) == pytest.approx(
        list(itertools.islice(itertools.cycle(once), 7)), abs=2
    )


def test_pictures_take_the_size_and_the_pace_asked_for(media: Path) -> None:
    source = open_source(str(media / "folder"), width=32, height=16, fps=5.0)
    assert next(source.pictures).shape == (16, 32, 3)
    assert source.fps == 5.0


@pytest.mark.parametrize(("name", "shown"), [("sample", "demo"), ("sample:steady", "steady")])
def test_the_sample_is_the_clip(name: str, shown: str) -> None:
    source = open_source(name)
    for index, frame in enumerate(itertools.islice(source.pictures, 2)):
        np.testing.assert_array_equal(frame, clip.Clip(shown).frame(index))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no/such/file.mp4", "no source 'no/such/file.mp4'"),
        ("empty", "empty: no picture in this folder"),
        ("broken.jpg", "broken.jpg: it is damaged"),
        ("broken.mp4", "not a video that OpenCV can read"),
        ("/dev/video97", "no camera /dev/video97"),
        ("97", "no camera /dev/video97"),
    ],
)
def test_a_source_without_pictures_is_named(
    media: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(media)
    with pytest.raises(FsbError, match=text):
        open_source(name)


def test_an_unknown_clip_names_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="demo, steady"):
        open_source("sample:steddy")


def test_a_width_needs_a_height() -> None:
    with pytest.raises(SourceError, match="give both"):
        open_source("sample", width=320)
