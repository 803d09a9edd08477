"""A bag with the answers over the images, for a viewer: Foxglove or Lichtblick open it as it is.

/front/image_raw/compressed    as recorded
/front/faces                   fsb_perception/FaceAttributesArray, the rows of results.jsonl
/front/annotations             foxglove_msgs/ImageAnnotations: boxes and words
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
from fsb_perception.types import UNKNOWN, TrackState

_SECOND = 1_000_000_000
_LINE_LOOP = 2
_THICK, _FONT = 2.0, 14.0  # px
Rgba = tuple[float, float, float, float]
RIGHT: Rgba = (0.2, 0.8, 0.3, 1.0)
WRONG: Rgba = (0.9, 0.2, 0.2, 1.0)
PLAIN: Rgba = (1.0, 1.0, 1.0, 1.0)
_BEHIND: Rgba = (0.0, 0.0, 0.0, 0.6)

Known = Mapping[tuple[str, int, str], Match]
"""What is true of a face, by camera, stamp and face_id."""


class _Topics(NamedTuple):
    image: Any
    faces: Any
    annotations: Any


def known_of(matches: Iterable[Match]) -> dict[tuple[str, int, str], Match]:
    """Matches, found by camera, stamp and face_id."""
    return {(m.camera, m.stamp, m.face["face_id"]): m for m in matches}


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
        path: of its folder; one that is there is replaced.
        bag: that was replayed.
        topics: of it, as they were replayed.
        rows: the answers, one an image, in the same order.
        bundle_id: of the bundle that gave them.
        known: colours the boxes by truth.

    Raises:
        BagError: it cannot be written.
    """
    shutil.rmtree(path, ignore_errors=True)
    with writing(path) as writer:
        _Annotated(writer, topics, bundle_id, known or {}).write(bag.frames(topics), rows)


class _Annotated:
    def __init__(
        self, writer: Any, topics: Sequence[ImageTopic], bundle_id: str, known: Known
    ) -> None:
        self._writer = writer
        self._bundle_id = bundle_id
        self._known = known
        self._store = all_types()
        self._types = self._store.types
        self._library = MessageLibrary(
            face=self._types["fsb_perception/msg/FaceAttributes"],
            estimate=self._types["fsb_perception/msg/AttributeEstimate"],
            point=self._types["geometry_msgs/msg/Point"],
            time=self._time,
            floats=lambda values: np.array(values, np.float32),
        )
        self._sequence: Counter[str] = Counter()
        self._topics = {topic.name: self._open(topic) for topic in topics}

    def _open(self, topic: ImageTopic) -> _Topics:
        base = f"/{topic.camera}" if topic.camera else ""
        named = (
            (topic.name, topic.type),
            (f"{base}/faces", FACES),
            (f"{base}/annotations", ANNOTATIONS),
        )
        return _Topics(
            *(
                self._writer.add_connection(name, kind, typestore=self._store)
                for name, kind in named
            )
        )

    def write(self, frames: Iterable[Frame], rows: Iterable[Row]) -> None:
        for frame, row in zip(frames, rows, strict=True):
            topics = self._topics[frame.topic.name]
            self._put(topics.image, frame.received, frame.message, frame.topic.type)
            if is_answered(row):
                self._put(topics.faces, frame.received, self._faces(frame, row), FACES)
                self._put(topics.annotations, frame.received, self._annotations(row), ANNOTATIONS)

    def _put(self, connection: Any, received: int, message: Any, kind: str) -> None:
        self._writer.write(connection, received, self._store.serialize_cdr(message, kind))

    def _time(self, stamp: int) -> Any:
        return self._types["builtin_interfaces/msg/Time"](*divmod(stamp, _SECOND))

    # FaceAttributesArray

    def _faces(self, frame: Frame, row: Row) -> Any:
        self._sequence[row["camera"]] += 1
        header = frame.message.header
        return self._types[FACES](
            header=header,
            camera=row["camera"],
            width=row["width"],
            height=row["height"],
            sequence=self._sequence[row["camera"]],
            dropped=0,
            wait_time=math.nan,
            process_time=math.nan,
            bundle_id=self._bundle_id,
            faces=[to_message(from_row(face), header, self._library) for face in row["faces"]],
        )

    # ImageAnnotations

    def _annotations(self, row: Row) -> Any:
        faces = [face for face in row["faces"] if face["state"] != TrackState.ENDED.name]
        return self._types[ANNOTATIONS](
            circles=[],
            points=[self._box(row, face) for face in faces],
            texts=[self._words(row, face) for face in faces],
        )

    def _box(self, row: Row, face: Row) -> Any:
        left, top, right, bottom = face["box_xyxy"]
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        return self._of("PointsAnnotation")(
            timestamp=self._time(row["stamp"]),
            type=_LINE_LOOP,
            points=[self._of("Point2")(*corner) for corner in corners],
            outline_color=self._colour(self._verdict(row, face)),
            outline_colors=[],
            fill_color=self._colour((0.0, 0.0, 0.0, 0.0)),
            thickness=_THICK if face["state"] == TrackState.CONFIRMED.name else _THICK / 2,
        )

    def _words(self, row: Row, face: Row) -> Any:
        said = [f"{e['label']} {e['confidence']:.0%}" for e in face["estimates"] if e["looks"]]
        left, _, _, bottom = face["box_xyxy"]
        return self._of("TextAnnotation")(
            timestamp=self._time(row["stamp"]),
            position=self._of("Point2")(left, bottom + _FONT),
            text="\n".join([face["face_id"], *said]),
            font_size=_FONT,
            text_color=self._colour(self._verdict(row, face)),
            background_color=self._colour(_BEHIND),
        )

    def _verdict(self, row: Row, face: Row) -> Rgba:
        """Red if any answer is wrong, green if all that is known is right, else white."""
        match = self._known.get((row["camera"], row["stamp"], face["face_id"]))
        answered = [
            e["label"] == match.attributes[e["task"]]
            for e in face["estimates"]
            if match and e["task"] in match.attributes and e["label"] != UNKNOWN
        ]
        return PLAIN if not answered else RIGHT if all(answered) else WRONG

    def _of(self, name: str) -> Any:
        return self._types[f"foxglove_msgs/msg/{name}"]

    def _colour(self, rgba: Rgba) -> Any:
        return self._of("Color")(*rgba)
