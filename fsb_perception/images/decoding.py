"""Encoded pictures (JPEG, PNG and others) from and to pixels.

    data --> format allowed? --> header: size, scans --> within the limits? --> whole? --> OpenCV

Picture files, compressed ROS messages, the camera and training are all decoded here, so one set of
rules says which pictures are refused. Nothing is decoded before its size is known: a few bytes may
claim a picture that fills the memory.
"""

from __future__ import annotations

import cv2
import numpy as np
from pydantic import field_validator

from fsb_perception.images.headers import FORMATS, KNOWN, SUFFIXES, PictureError, read_header
from fsb_perception.images.jpeg import END, PADDINGS, Jpeg, check_whole, is_jpeg, read_structure
from fsb_perception.options import Options, option
from fsb_perception.registry import UnknownNameError
from fsb_perception.types import Image

_LONGEST_SIDE = 32766  # px; OpenCV's warps, which cut out the faces, take no more


class DecodingConfig(Options):
    """Limits of the pictures that are decoded.

    >>> DecodingConfig(formats=("jpeg",)).max_pixels
    50000000
    """

    formats: tuple[str, ...] = option(
        ("jpeg", "png", "webp"),
        f"formats of encoded pictures that are read, of {' '.join(FORMATS)}; all but the first "
        "three take far more memory or time than their size tells",
    )
    max_pixels: int = option(
        50_000_000,
        "encoded pictures with more pixels are refused before they are decoded",
        unit="px",
        ge=1,
        le=500_000_000,
    )

    @field_validator("formats")
    @classmethod
    def _check_formats(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in FORMATS:
                raise ValueError(str(UnknownNameError("format", name, FORMATS)))
        return names


ROBOT = DecodingConfig()
"""For pictures that others send."""

FILES = DecodingConfig(formats=tuple(FORMATS))
"""For files that a user names: every format."""


def decode_picture(data: bytes, *, upright: bool = True, config: DecodingConfig = ROBOT) -> Image:
    """Decode a picture to uint8 BGR (height, width, 3).

    Grey pictures get three equal channels, transparency is dropped, and 16 bits become 8. Of an
    animation, it is the first picture.

    Args:
        data: an encoded picture, such as the content of a file.
        upright: turn the picture as its EXIF data asks. A robot does not: its camera_info describes
            the pixels as stored.
        config: limits.

    Raises:
        PictureError: no data, not a picture of an allowed format, damaged, a part is missing, or
            too large. Of a JPEG, the last marker alone may be missing.

    >>> decode_picture(b"P6 2 1 255 " + bytes([255, 0, 0, 9, 9, 9]), config=FILES).tolist()
    [[[0, 0, 255], [9, 9, 9]]]
    """
    if not data:
        raise PictureError("it is empty")
    structure = read_structure(data) if is_jpeg(data) else None
    header = read_header(data, config.formats)
    size = (header.width, header.height)
    if header.width * header.height > config.max_pixels:
        raise PictureError(
            f"it claims {header.width} x {header.height} px; up to {config.max_pixels} px are read "
            "(option decoding.max_pixels)"
        )
    check_size(*size)
    picture = _decode_jpeg(data, structure, upright) if structure else _decode(data, upright)
    if picture.shape[1::-1] not in (size, size[::-1]):
        raise PictureError(f"it is damaged: its header claims {header.width} x {header.height} px")
    return picture


def _decode_jpeg(data: bytes, structure: Jpeg, upright: bool) -> Image:
    """Decode a JPEG that is whole; what follows its picture is left out."""
    body = data[: structure.end]
    if not structure.is_single_scan:
        check_whole(data, structure)
        return _decode(body + END, upright)
    # Without the marker EOI, OpenCV refuses data that end too early. With it, they would be grey.
    picture = _decode(body + PADDINGS[0], upright)
    for padding in () if structure.has_end else PADDINGS[1:]:
        if (_decode(body + padding, upright) != picture).any():
            raise PictureError("it is cut short: the end of the JPEG is missing")
    return picture


def _decode(data: bytes, upright: bool) -> Image:
    flags = cv2.IMREAD_COLOR | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise PictureError(f"OpenCV cannot decode it: {error.err[:80]}") from error
    if picture is None:
        raise PictureError("it is damaged or cut short, or OpenCV cannot read its kind")
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
    try:
        encoded, data = cv2.imencode(suffix, picture, flags)
    except cv2.error:  # a suffix that OpenCV reads and does not write
        encoded = False
    if not encoded:
        raise PictureError(f"a picture of shape {picture.shape} cannot be encoded as {suffix!r}")
    return data.tobytes()
