"""The rows of ``results.jsonl``: one JSON object an image, the same bytes at every run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fsb_perception.codec import Row, to_row
from fsb_perception.types import FaceAttributes


def frame_row(
    camera: str, stamp: int, size: tuple[int, int], faces: Sequence[FaceAttributes]
) -> Row:
    """Return the row of one processed image.

    Args:
        camera: its name; empty for the one unnamed camera.
        stamp: of the image, in nanoseconds.
        size: width and height in pixels.
        faces: as the pipeline reports them.

    Returns:
        Fields as in ``FaceAttributesArray.msg``, stamps in nanoseconds, None for NaN.
    """
    width, height = size
    return {
        "camera": camera,
        "stamp": stamp,
        "width": width,
        "height": height,
        "faces": [to_row(face) for face in faces],
    }


def failed_row(camera: str, stamp: int, error: str) -> Row:
    """Return the row of an image that could not be processed, with the reason."""
    return {"camera": camera, "stamp": stamp, "error": error}


def dropped_row(camera: str, stamp: int) -> Row:
    """Return the row of an image that the node dropped for a newer one."""
    return {"camera": camera, "stamp": stamp, "dropped": True}


def is_answered(row: Row) -> bool:
    """Return whether a row holds the faces of its image."""
    return "faces" in row


def line(row: Mapping[str, Any]) -> bytes:
    r"""Return a row as one line of JSON, UTF-8.

    >>> line(dropped_row("front", 5))
    b'{"camera":"front","stamp":5,"dropped":true}\n'

    Raises:
        ValueError: a number in it is NaN or infinite.
    """
    return json.dumps(row, allow_nan=False, separators=(",", ":")).encode() + b"\n"
