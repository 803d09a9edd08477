"""Bags with boxes and texts over images that are not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcap.writer import Writer as McapWriter

from fsb_perception.replay.bags.message_types import ANNOTATIONS, all_types
from fsb_perception.replay.bags.storages import writing

STAMP = 1_700_000_000_000_000_001
BOX = (100.0, 100.0, 180.0, 200.0)
OTHER = (180.0, 100.0, 260.0, 200.0)  # shares an edge with the first
LINE_LOOP, POINTS = 2, 1
TOPIC = "/front/annotations"
_TYPES = all_types()


def viewer_message(name: str, *values: Any, **fields: Any) -> Any:
    return _TYPES.types[f"foxglove_msgs/msg/{name}"](*values, **fields)


def time(stamp: int) -> Any:
    return _TYPES.types["builtin_interfaces/msg/Time"](*divmod(stamp, 1_000_000_000))


def box(corners: Sequence[float] = BOX, stamp: int = STAMP, kind: int = LINE_LOOP) -> Any:
    left, top, right, bottom = corners
    points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    clear = viewer_message("Color", 0.0, 0.0, 0.0, 0.0)
    drawn = [viewer_message("Point2", float(x), float(y)) for x, y in points]
    return viewer_message("PointsAnnotation", time(stamp), kind, drawn, clear, [], clear, 1.0)


def text(words: str, at: Sequence[float] = BOX[:2], stamp: int = STAMP) -> Any:
    clear = viewer_message("Color", 0.0, 0.0, 0.0, 0.0)
    x, y = map(float, at)
    return viewer_message(
        "TextAnnotation", time(stamp), viewer_message("Point2", x, y), words, 14.0, clear, clear
    )


def write(
    folder: Path,
    *messages: tuple[list, list],
    topic: str = TOPIC,
    storage: str = "mcap",
    others: Sequence[str] = (),
) -> Path:
    """Write a bag with messages of boxes and texts, and with empty strings on other topics."""
    with writing(folder, storage) as writer:
        connection = writer.add_connection(topic, ANNOTATIONS, typestore=_TYPES)
        for n, (points, texts) in enumerate(messages):
            message = viewer_message("ImageAnnotations", circles=[], points=points, texts=texts)
            writer.write(connection, n + 1, _TYPES.serialize_cdr(message, ANNOTATIONS))
        for name in others:
            connection = writer.add_connection(name, "std_msgs/msg/String", typestore=_TYPES)
            data = _TYPES.serialize_cdr(_TYPES.types["std_msgs/msg/String"](""), connection.msgtype)
            writer.write(connection, 1, data)
    return folder


def write_mcap(path: Path, message: bytes, encoding: str, schema: str, definition: bytes) -> Path:
    """Write an MCAP file with one message, by the library of MCAP."""
    with path.open("wb") as file:
        writer = McapWriter(file)
        writer.start()
        kind = {"json": "jsonschema", "cdr": "ros2msg"}.get(encoding, encoding)
        number = writer.register_schema(schema, kind, definition)
        writer.add_message(writer.register_channel(TOPIC, encoding, number), 1, message, 1)
        writer.finish()
    return path
