"""Sample bags with exact truth, drawn from photographs: those that ship with FSB, or one's own.

Two cameras look at the same people, one some seconds after the other: faces come near, leave and
return, and are blurred, hidden and dimmed. The truth has every identity and every box to the pixel,
and the gender, age group and emotion as far as they are known of the person and the photograph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from fsb_perception.images.decoding import encode_picture
from fsb_perception.images.messages import JPEG_FORMAT
from fsb_perception.progress import SILENT, Progress
from fsb_perception.replay.bags.message_types import ros_types
from fsb_perception.replay.bags.storages import MCAP, check_new, writing
from fsb_perception.replay.bags.topics import COMPRESSED, RAW
from fsb_perception.replay.sample.people import Person, clip_of, shipped_people
from fsb_perception.replay.truth.files import write_truth
from fsb_perception.replay.truth.statements import Statement
from fsb_perception.samples.clip import FPS, HEIGHT, WIDTH, Clip, Drawn
from fsb_perception.types import Image

if TYPE_CHECKING:
    from rosbags.rosbag2 import Writer

BAG, TRUTH = "bag", "truth.jsonl"
CAMERAS = MappingProxyType({"front": 0.0, "side": 7.0})
"""Seconds that each camera is ahead in the clip."""

_START = 1_700_000_000_000_000_000  # ns
_QUALITY = 90  # of the JPEGs
_MOST_OUTSIDE = 0.5  # of a face's area: with more of it outside, the face is not in the picture


def make_sample(
    folder: Path,
    people: Sequence[Person] = (),
    *,
    seconds: float = 20.0,
    raw: bool = False,
    storage: str = MCAP,
    progress: Progress = SILENT,
) -> tuple[Path, Path]:
    """Write a bag and its truth.

    Args:
        folder: is made; the bag in it must not be there yet.
        people: 1 to 6 of them; those whose photographs ship with FSB if empty.
        seconds: length of the recording.
        raw: store images as they are, 0.9 MB each; else as JPEG.
        storage: a name in `STORAGES`.
        progress: shows how many frames are drawn.

    Returns:
        The paths of the bag and of the truth file.

    Raises:
        BagError: there is such a bag already, or it cannot be written.
        UnknownNameError: no such storage.
    """
    check_new(folder / BAG, storage)
    folder.mkdir(parents=True, exist_ok=True)
    count = max(1, round(seconds * FPS))
    people = people or shipped_people()
    clip = clip_of(people)
    with writing(folder / BAG, storage) as writer:
        _write_images(writer, clip, progress.track("Drawing frames", range(count)), raw)
    write_truth(folder / TRUTH, _truth(clip, people, count))
    return folder / BAG, folder / TRUTH


def _write_images(writer: Writer, clip: Clip, numbers: Iterable[int], raw: bool) -> None:
    types = ros_types()
    kind, ending = (RAW, "image_raw") if raw else (COMPRESSED, "image_raw/compressed")
    topics = {
        camera: writer.add_connection(f"/{camera}/{ending}", kind, typestore=types)
        for camera in CAMERAS
    }
    for index in numbers:
        for camera, ahead in CAMERAS.items():
            picture = clip.frame(_index(index, ahead))
            message = _message(types.types, picture, stamp_of(index), camera, raw)
            data = types.serialize_cdr(message, kind)
            writer.write(topics[camera], stamp_of(index), data)


def stamp_of(index: int) -> int:
    """Return the stamp of a frame of the sample, in nanoseconds."""
    return _START + index * 1_000_000_000 // FPS


def _index(index: int, ahead: float) -> int:
    return index + round(ahead * FPS)


def _message(types: Any, picture: Image, stamp: int, camera: str, raw: bool) -> Any:
    time = types["builtin_interfaces/msg/Time"](*divmod(stamp, 1_000_000_000))
    header = types["std_msgs/msg/Header"](time, f"{camera}_camera")
    if raw:
        height, width = picture.shape[:2]
        return types[RAW](header, height, width, "bgr8", 0, 3 * width, picture.ravel())
    jpeg = np.frombuffer(encode_picture(picture, ".jpg", quality=_QUALITY), np.uint8)
    return types[COMPRESSED](header, JPEG_FORMAT, jpeg)


def _truth(clip: Clip, people: Sequence[Person], count: int) -> Iterator[Statement]:
    known = {person.name: person for person in people}
    for index in range(count):
        for camera, ahead in CAMERAS.items():
            for face in clip.faces(_index(index, ahead)):
                if _is_there(face):
                    yield Statement(
                        camera=camera,
                        stamp=stamp_of(index),
                        identity=face.still,
                        box_xyxy=face.box_xyxy,
                        attributes=known[face.still].attributes_in(face.portraits),
                        hidden=face.hidden,
                    )


def _is_there(face: Drawn) -> bool:
    left, top, right, bottom = face.box_xyxy
    across = max(0.0, min(right, WIDTH) - max(left, 0)) / (right - left)
    down = max(0.0, min(bottom, HEIGHT) - max(top, 0)) / (bottom - top)
    return across * down >= 1 - _MOST_OUTSIDE
