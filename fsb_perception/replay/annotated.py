"""A bag with the results over the images, for a viewer: Foxglove or Lichtblick open it as it is.

/front/image_raw/compressed    as recorded
/front/faces                   fsb_perception/FaceAttributesArray, the rows of results.jsonl
/front/annotations             foxglove_msgs/ImageAnnotations: boxes and texts
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fsb_perception.codec import Row, from_row, to_message
from fsb_perception.field_kinds import MessageLibrary
from fsb_perception.replay.bags.message_types import ANNOTATIONS, FACES, all_types
from fsb_perception.replay.bags.reader import Bag, Frame
from fsb_perception.replay.bags.storages import writing
from fsb_perception.replay.bags.topics import ImageTopic
from fsb_perception.replay.rows import is_answered
from fsb_perception.replay.scoring.matching import Match
from fsb_perception.types import UNKNOWN, FaceAttributes, TrackState

_SECOND = 1_000_000_000  # ns
_LINE_LOOP = 2
_THICKNESS, _FONT_SIZE = 2.0, 14.0  # px
Rgba = tuple[float, float, float, float]
"""A colour, each part in [0, 1]."""
RIGHT: Rgba = (0.2, 0.8, 0.3, 1.0)
WRONG: Rgba = (0.9, 0.2, 0.2, 1.0)
PLAIN: Rgba = (1.0, 1.0, 1.0, 1.0)
_BACKGROUND: Rgba = (0.0, 0.0, 0.0, 0.6)
_TRANSPARENT: Rgba = (0.0, 0.0, 0.0, 0.0)

Known = Mapping[tuple[str, int, str], Match]
"""Matches of faces with the truth, by camera, stamp and face_id."""


def known_of(matches: Iterable[Match]) -> dict[tuple[str, int, str], Match]:
    """Return the matches by camera, stamp and face_id."""
    return {(match.camera, match.stamp, match.face["face_id"]): match for match in matches}


def write_annotated(
    path: Path,
    bag: Bag,
    topics: Sequence[ImageTopic],
    rows: Iterable[Row],
    bundle_id: str,
    known: Known | None = None,
) -> None:
    """Write the bag.

    Args:
        path: of its folder; an earlier one is replaced.
        bag: the replayed bag.
        topics: the replayed topics of it.
        rows: the results, one for each image, in the same order.
        bundle_id: of the bundle that read the faces.
        known: matches with the truth, which colour the boxes.

    Raises:
        BagError: the bag cannot be written.
    """
    shutil.rmtree(path, ignore_errors=True)
    with writing(path) as writer:
        _Annotated(writer, topics, bundle_id, known or {}).write(bag.frames(topics), rows)


class _Topics(NamedTuple):
    """The connections of one camera in the bag that is written."""

    image: Any
    faces: Any
    annotations: Any


class _Annotated:
    def __init__(
        self, writer: Any, topics: Sequence[ImageTopic], bundle_id: str, known: Known
    ) -> None:
        self._writer = writer
        self._bundle_id = bundle_id
        self._known = known
        self._store = all_types()
        self._messages = _Messages(self._store.types)
        self._sequence: Counter[str] = Counter()
        self._topics = {topic.name: self._open(topic) for topic in topics}

    def _open(self, topic: ImageTopic) -> _Topics:
        base = f"/{topic.camera}" if topic.camera else ""
        return _Topics(
            image=self._connect(topic.name, topic.type),
            faces=self._connect(f"{base}/faces", FACES),
            annotations=self._connect(f"{base}/annotations", ANNOTATIONS),
        )

    def _connect(self, name: str, kind: str) -> Any:
        return self._writer.add_connection(name, kind, typestore=self._store)

    def write(self, frames: Iterable[Frame], rows: Iterable[Row]) -> None:
        for frame, row in zip(frames, rows, strict=True):
            topics = self._topics[frame.topic.name]
            self._put(topics.image, frame.received, frame.message, frame.topic.type)
            if is_answered(row):
                faces = [from_row(face) for face in row["faces"]]
                array = self._array(frame, row, faces)
                self._put(topics.faces, frame.received, array, FACES)
                annotations = self._annotations(row, faces)
                self._put(topics.annotations, frame.received, annotations, ANNOTATIONS)

    def _put(self, connection: Any, received: int, message: Any, kind: str) -> None:
        self._writer.write(connection, received, self._store.serialize_cdr(message, kind))

    def _array(self, frame: Frame, row: Row, faces: Sequence[FaceAttributes]) -> Any:
        self._sequence[row["camera"]] += 1
        return self._messages.array(
            faces,
            header=frame.message.header,
            camera=row["camera"],
            width=row["width"],
            height=row["height"],
            sequence=self._sequence[row["camera"]],
            bundle_id=self._bundle_id,
        )

    def _annotations(self, row: Row, faces: Sequence[FaceAttributes]) -> Any:
        coloured = [
            (face, _box_colour(face, self._known.get((row["camera"], row["stamp"], face.face_id))))
            for face in faces
            if face.state is not TrackState.ENDED
        ]
        return self._messages.annotations(coloured, row["stamp"])


def _box_colour(face: FaceAttributes, match: Match | None) -> Rgba:
    """Return the colour of a box: red if any label is wrong, green if all known ones are right.

    A face without a known truth is white.
    """
    if match is None:
        return PLAIN
    right = [
        estimate.label == match.attributes[estimate.task]
        for estimate in face.estimates
        if estimate.task in match.attributes and estimate.label != UNKNOWN
    ]
    return PLAIN if not right else RIGHT if all(right) else WRONG


class _Messages:
    """Makes the messages of one image with the classes of rosbags."""

    def __init__(self, types: Mapping[str, Any]) -> None:
        self._types = types
        self._library = MessageLibrary(
            face=types["fsb_perception/msg/FaceAttributes"],
            estimate=types["fsb_perception/msg/AttributeEstimate"],
            point=types["geometry_msgs/msg/Point"],
            time=self._time,
            floats=lambda values: np.array(values, np.float32),
        )

    def array(self, faces: Sequence[FaceAttributes], header: Any, **fields: Any) -> Any:
        return self._types[FACES](
            header=header,
            dropped=0,
            wait_time=math.nan,
            process_time=math.nan,
            faces=[to_message(face, header, self._library) for face in faces],
            **fields,
        )

    def annotations(self, coloured: Sequence[tuple[FaceAttributes, Rgba]], stamp: int) -> Any:
        return self._types[ANNOTATIONS](
            circles=[],
            points=[self._box(face, rgba, stamp) for face, rgba in coloured],
            texts=[self._text(face, rgba, stamp) for face, rgba in coloured],
        )

    def _box(self, face: FaceAttributes, rgba: Rgba, stamp: int) -> Any:
        left, top, right, bottom = face.face.box_xyxy.tolist()
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        return self._drawing("PointsAnnotation")(
            timestamp=self._time(stamp),
            type=_LINE_LOOP,
            points=[self._drawing("Point2")(*corner) for corner in corners],
            outline_color=self._colour(rgba),
            outline_colors=[],
            fill_color=self._colour(_TRANSPARENT),
            thickness=_THICKNESS if face.state is TrackState.CONFIRMED else _THICKNESS / 2,
        )

    def _text(self, face: FaceAttributes, rgba: Rgba, stamp: int) -> Any:
        read = [estimate for estimate in face.estimates if estimate.looks]
        lines = [f"{estimate.label} {estimate.confidence:.0%}" for estimate in read]
        left, _, _, bottom = face.face.box_xyxy.tolist()
        return self._drawing("TextAnnotation")(
            timestamp=self._time(stamp),
            position=self._drawing("Point2")(left, bottom + _FONT_SIZE),
            text="\n".join([face.face_id, *lines]),
            font_size=_FONT_SIZE,
            text_color=self._colour(rgba),
            background_color=self._colour(_BACKGROUND),
        )

    def _time(self, stamp: int) -> Any:
        return self._types["builtin_interfaces/msg/Time"](*divmod(stamp, _SECOND))

    def _drawing(self, name: str) -> Any:
        return self._types[f"foxglove_msgs/msg/{name}"]

    def _colour(self, rgba: Rgba) -> Any:
        return self._drawing("Color")(*rgba)
