"""Sources of the camera's pictures: the sample, a webcam, a video, a folder, one picture.

This module does not need ROS.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from fsb_perception.errors import FsbError
from fsb_perception.images.files import find_pictures, read_picture
from fsb_perception.images.headers import SUFFIXES
from fsb_perception.problems import Problems
from fsb_perception.samples.clip import FPS, Clip
from fsb_perception.samples.sprites import as_uint8
from fsb_perception.types import Image


class SourceError(FsbError):
    """A source that gives no pictures; the message names it and says what to do."""


@dataclass(frozen=True)
class Source:
    """An open source of pictures.

    Attributes:
        title: for the log.
        pictures: uint8 BGR (height, width, 3), until the source ends.
        fps: pictures a second at which the source is meant to be shown.
        live: the source sets the pace itself: it blocks until it has a picture.

    >>> steady = open_source("sample:steady", width=320, height=240)
    >>> steady.title, steady.fps, next(steady.pictures).shape
    ('the sample clip (sample:steady)', 30.0, (240, 320, 3))
    """

    title: str
    pictures: Iterator[Image]
    fps: float = float(FPS)
    live: bool = False


def open_source(
    name: str, *, width: int = 0, height: int = 0, fps: float = 0.0, loop: bool = True
) -> Source:
    """Open the source called ``name``.

    Args:
        name: "sample" or "sample:<clip>", "webcam", the number of a webcam, a device such as
            /dev/video2, a video file, a folder of pictures, or a picture.
        width: of the pictures in pixels; 0 for the source's own. Give both or none.
        height: of the pictures in pixels, likewise.
        fps: requested of a webcam, and the pace of all others; 0 for the source's own.
        loop: begin again at the end; a single picture is then repeated without end.

    Raises:
        SourceError: there is no such source, or it gives no picture.
        PictureError: a picture file cannot be read, or a folder holds none.
        UnknownNameError: there is no such sample clip.
    """
    if bool(width) != bool(height):
        raise SourceError(f"width {width} and height {height}: give both, or 0 for both")
    source = _opener(name)(_Request(name, width, height, fps, loop))
    if (width or height) and not source.live:
        source = replace(
            source, pictures=(as_uint8(cv2.resize(p, (width, height))) for p in source.pictures)
        )
    return replace(source, fps=fps) if fps and not source.live else source


@dataclass(frozen=True)
class _Request:
    name: str
    width: int
    height: int
    fps: float
    loop: bool

    @property
    def path(self) -> Path:
        return Path(self.name).expanduser()


_Opener = Callable[[_Request], Source]


def _opener(name: str) -> _Opener:
    path = Path(name).expanduser()
    if name.partition(":")[0] == "sample":
        return _open_sample
    if name == "webcam" or name.isdecimal() or path.match("/dev/video*"):
        return _open_webcam
    if path.is_dir():
        return _open_folder
    if path.is_file():
        return _open_picture if path.suffix.lower() in SUFFIXES else _open_video
    raise SourceError(
        f"there is no source {name!r}: it is no file or folder here ({Path.cwd()}). "
        "Give sample, webcam, the number of a webcam, a video file, a picture or a folder of them."
    )


def _open_sample(request: _Request) -> Source:
    clip = Clip(request.name.partition(":")[2] or "demo")
    indices = itertools.count() if request.loop else iter(range(clip.count))
    return Source(f"the sample clip ({request.name})", map(clip.frame, indices))


def _open_webcam(request: _Request) -> Source:
    number = "0" if request.name == "webcam" else request.name
    device = number if number.startswith("/dev/") else f"/dev/video{number}"
    if not Path(device).exists():
        raise SourceError(f"there is no camera {device}. {_cameras()}")
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    # One buffer: an old picture is worth less than the wait for a new one.
    settings = {
        cv2.CAP_PROP_BUFFERSIZE: 1,
        cv2.CAP_PROP_FRAME_WIDTH: request.width,
        cv2.CAP_PROP_FRAME_HEIGHT: request.height,
        cv2.CAP_PROP_FPS: request.fps,
    }
    for setting, value in settings.items():
        if value:
            capture.set(setting, value)
    pictures = _with_first(
        _captured(capture),
        f"the camera {device} gives no picture: another program may hold it (fuser {device} "
        f"shows which), or you may not read it (add yourself to the group video). {_cameras()}",
    )
    native = capture.get(cv2.CAP_PROP_FPS) or FPS
    return Source(f"the webcam {device}", pictures, native, live=True)


def _cameras() -> str:
    devices = sorted(str(path) for path in Path("/dev").glob("video*"))
    if devices:
        return f"Cameras here: {', '.join(devices)}."
    return "This machine shows no camera (/dev/video*): plug one in, or use the source sample."


def _open_video(request: _Request) -> Source:
    path = str(request.path)
    capture = cv2.VideoCapture(path)
    native = capture.get(cv2.CAP_PROP_FPS)
    capture.release()

    def play() -> Iterator[Image]:
        for _ in itertools.count() if request.loop else range(1):
            pictures = _captured(cv2.VideoCapture(path))
            first = next(pictures, None)
            if first is None:  # also when the file is gone by the second round
                return
            yield from itertools.chain([first], pictures)

    pictures = _with_first(
        play(), f"{path} gives no picture: it is not a video that OpenCV can read"
    )
    return Source(f"the video {path}", pictures, native if 1 <= native <= 240 else float(FPS))


def _open_folder(request: _Request) -> Source:
    others = Problems()
    files = find_pictures(request.path, passed_over=others)
    read_picture(files[0])  # a broken one is reported before the camera starts
    shown = itertools.cycle(files) if request.loop else iter(files)
    left_out = f" ({'; '.join(others.sentences())})" if others else ""
    title = f"the {len(files)} pictures in {request.path}{left_out}"
    return Source(title, map(read_picture, shown))


def _open_picture(request: _Request) -> Source:
    picture = read_picture(request.path)
    shown = itertools.repeat(picture) if request.loop else iter([picture])
    return Source(f"the picture {request.path}", shown)


def _captured(capture: cv2.VideoCapture) -> Iterator[Image]:
    try:
        while True:
            captured, picture = capture.read()
            if not captured:
                return
            yield as_uint8(picture)
    finally:
        capture.release()


def _with_first(pictures: Iterator[Image], fault: str) -> Iterator[Image]:
    """Return the same pictures once the first is read; `SourceError` if there is none."""
    first = next(pictures, None)
    if first is None:
        raise SourceError(fault)
    return itertools.chain([first], pictures)
