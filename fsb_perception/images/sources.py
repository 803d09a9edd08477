"""Where the camera's pictures come from: the sample, a webcam, a video, a folder, one picture.

Nothing here knows ROS.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from fsb_perception.errors import FsbError
from fsb_perception.samples.clip import FPS, Clip
from fsb_perception.types import Image

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


class SourceError(FsbError):
    """A source that gives no pictures; the message names it and says what to do."""


@dataclass(frozen=True)
class Source:
    """An open source of pictures.

    Attributes:
        title: what it is, for the log.
        pictures: uint8 BGR (height, width, 3), until the source ends.
        fps: how many a second it is made for.
        live: it sets the pace itself: the next picture comes when there is one.
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
        height: likewise.
        fps: asked of a webcam, and the pace of all others; 0 for the source's own.
        loop: begin again at the end; a single picture is then shown for ever.

    Raises:
        SourceError: there is no such source, or it gives no picture.
    """
    if bool(width) != bool(height):
        raise SourceError(f"width {width} and height {height}: give both, or 0 for both")
    source = _kind(name)(_Wish(name, width, height, fps, loop))
    if (width or height) and not source.live:
        source = replace(
            source, pictures=(_uint8(cv2.resize(p, (width, height))) for p in source.pictures)
        )
    return replace(source, fps=fps) if fps and not source.live else source


@dataclass(frozen=True)
class _Wish:
    name: str
    width: int
    height: int
    fps: float
    loop: bool

    @property
    def path(self) -> Path:
        return Path(self.name).expanduser()


_Opener = Callable[[_Wish], Source]


def _kind(name: str) -> _Opener:
    path = Path(name).expanduser()
    if name.partition(":")[0] == "sample":
        return _open_sample
    if name == "webcam" or name.isdecimal() or path.match("/dev/video*"):
        return _open_webcam
    if path.is_dir():
        return _open_folder
    if path.is_file():
        return _open_picture if path.suffix.lower() in PICTURE_SUFFIXES else _open_video
    raise SourceError(
        f"there is no source {name!r}: it is no file or folder here ({Path.cwd()}). "
        "Give sample, webcam, the number of a webcam, a video file, a picture or a folder of them."
    )


def _open_sample(wish: _Wish) -> Source:
    clip = Clip(wish.name.partition(":")[2] or "demo")
    indices = itertools.count() if wish.loop else iter(range(clip.count))
    return Source(f"the sample clip ({wish.name})", map(clip.frame, indices))


def _open_webcam(wish: _Wish) -> Source:
    number = "0" if wish.name == "webcam" else wish.name
    device = number if number.startswith("/dev/") else f"/dev/video{number}"
    if not Path(device).exists():
        raise SourceError(f"there is no camera {device}. {_cameras()}")
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    # One buffer: an old picture is worth less than the wait for a new one.
    settings = {
        cv2.CAP_PROP_BUFFERSIZE: 1,
        cv2.CAP_PROP_FRAME_WIDTH: wish.width,
        cv2.CAP_PROP_FRAME_HEIGHT: wish.height,
        cv2.CAP_PROP_FPS: wish.fps,
    }
    for setting, value in settings.items():
        if value:
            capture.set(setting, value)
    pictures = _captured(capture)
    first = next(pictures, None)
    if first is None:
        raise SourceError(
            f"the camera {device} gives no picture: another program may hold it (fuser {device} "
            f"shows which), or you may not read it (add yourself to the group video). {_cameras()}"
        )
    native = capture.get(cv2.CAP_PROP_FPS) or FPS
    return Source(f"the webcam {device}", itertools.chain([first], pictures), native, live=True)


def _cameras() -> str:
    found = sorted(str(path) for path in Path("/dev").glob("video*"))
    if found:
        return f"Cameras here: {', '.join(found)}."
    return "This machine shows no camera (/dev/video*): plug one in, or use the source sample."


def _open_video(wish: _Wish) -> Source:
    path = str(wish.path)
    capture = cv2.VideoCapture(path)
    native = capture.get(cv2.CAP_PROP_FPS)
    capture.release()

    def play() -> Iterator[Image]:
        for _ in itertools.count() if wish.loop else range(1):
            pictures = _captured(cv2.VideoCapture(path))
            first = next(pictures, None)
            if first is None:  # also when the file is gone by the second round
                return
            yield from itertools.chain([first], pictures)

    pictures = _with_first(play(), f"{path} gives no picture: it is no video that OpenCV can read")
    return Source(f"the video {path}", pictures, native if 1 <= native <= 240 else float(FPS))


def _open_folder(wish: _Wish) -> Source:
    folder = wish.path
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
    if not files:
        known = ", ".join(sorted(PICTURE_SUFFIXES))
        raise SourceError(f"there is no picture in the folder {folder} (known: {known})")
    _read_picture(files[0])  # a broken one is told before the camera starts
    shown = itertools.cycle(files) if wish.loop else iter(files)
    return Source(f"the {len(files)} pictures in {folder}", map(_read_picture, shown))


def _open_picture(wish: _Wish) -> Source:
    picture = _read_picture(wish.path)
    shown = itertools.repeat(picture) if wish.loop else iter([picture])
    return Source(f"the picture {wish.path}", shown)


def _read_picture(path: Path) -> Image:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise SourceError(f"{path} is no picture that OpenCV can read; is it whole?")
    return _uint8(picture)


def _captured(capture: cv2.VideoCapture) -> Iterator[Image]:
    try:
        while True:
            taken, picture = capture.read()
            if not taken:
                return
            yield _uint8(picture)
    finally:
        capture.release()


def _with_first(pictures: Iterator[Image], complaint: str) -> Iterator[Image]:
    """The same pictures, once it is known that there is one."""
    first = next(pictures, None)
    if first is None:
        raise SourceError(complaint)
    return itertools.chain([first], pictures)


def _uint8(picture: np.ndarray) -> Image:
    return np.asarray(picture, np.uint8)
