"""Encoded pictures (JPEG, PNG and others) from and to pixels.

Picture files, compressed ROS messages, the camera and training are all decoded here, so one set of
rules says which pictures are refused.
"""

from __future__ import annotations

import cv2
import numpy as np

from fsb_perception.errors import FsbError
from fsb_perception.images.claims import claimed_size
from fsb_perception.types import Image

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Endings of picture files, in lower case."""

KNOWN = "known: " + " ".join(sorted(suffix[1:] for suffix in SUFFIXES))

_LONGEST_SIDE = 32766  # px; OpenCV's warps, which cut out the faces, take no more
_MOST_PIXELS = 1 << 26  # of JPEG and PNG: a few bytes can claim a size that fills the memory


class PictureError(FsbError):
    """A picture that cannot be read or written; the message gives the reason."""


def decode_picture(data: bytes, *, upright: bool = True) -> Image:
    """Decode a picture to uint8 BGR (height, width, 3).

    Grey pictures get three equal channels, transparency is dropped, and 16 bits become 8.

    Args:
        data: an encoded picture, such as the content of a file.
        upright: turn the picture as its EXIF data asks. A robot does not: its camera_info describes
            the pixels as stored.

    Raises:
        PictureError: no data, not a picture, damaged, cut short, or too large.

    >>> decode_picture(b"P6 2 1 255 " + bytes([255, 0, 0, 9, 9, 9])).tolist()
    [[[0, 0, 255], [9, 9, 9]]]
    """
    if not data:
        raise PictureError("it is empty")
    width, height = claimed_size(data) or (0, 0)
    if width * height > _MOST_PIXELS:
        raise PictureError(f"it claims {width} x {height} px; up to {_MOST_PIXELS} px are read")
    flags = cv2.IMREAD_COLOR | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # a header of more pixels than OpenCV allows
        picture = None
    if picture is None:
        raise PictureError(f"it is damaged or cut short, or not a still picture ({KNOWN})")
    check_size(picture.shape[1], picture.shape[0])
    return np.asarray(picture, np.uint8)


def check_size(width: int, height: int) -> None:
    """Refuse a picture from which no face can be cut.

    Args:
        width: in pixels.
        height: in pixels.

    Raises:
        PictureError: a side is 0, or longer than OpenCV's warps take.
    """
    if not (1 <= width <= _LONGEST_SIDE and 1 <= height <= _LONGEST_SIDE):
        raise PictureError(
            f"its size is {width} x {height} px: both sides must be 1 to {_LONGEST_SIDE} px"
        )


def encode_picture(picture: Image, suffix: str = ".jpg", *, quality: int | None = None) -> bytes:
    """Encode a picture in the format of a suffix.

    Args:
        picture: uint8 BGR (height, width, 3).
        suffix: one of `SUFFIXES`.
        quality: of a JPEG, 0 to 100; OpenCV's 95 if not given.

    Raises:
        PictureError: the suffix is unknown, or the format cannot hold the picture.

    >>> black = np.zeros((2, 3, 3), np.uint8)
    >>> decode_picture(encode_picture(black, ".png")).shape
    (2, 3, 3)
    """
    flags = [] if quality is None else [cv2.IMWRITE_JPEG_QUALITY, quality]
    if suffix.lower() not in SUFFIXES:
        raise PictureError(f"a picture cannot be encoded as {suffix!r} ({KNOWN})")
    encoded, data = cv2.imencode(suffix, picture, flags)
    if not encoded:
        raise PictureError(f"a picture of shape {picture.shape} cannot be encoded as {suffix!r}")
    return data.tobytes()
