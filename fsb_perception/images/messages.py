"""Images as ROS has them, live or from a bag, into OpenCV's BGR, with NumPy and OpenCV alone.

Every encoding that is understood is one row of `ENCODINGS`; whatever else comes is refused, never
guessed at.
"""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np

from fsb_perception.errors import FsbError
from fsb_perception.images.claims import claimed_size
from fsb_perception.images.encodings import ENCODINGS, Encoding
from fsb_perception.registry import UnknownNameError
from fsb_perception.types import Image as Picture

_LONGEST_SIDE = 32766  # px; OpenCV's warps, which cut out the faces, take no more
_MOST_PIXELS = 1 << 26  # of JPEG and PNG: a few bytes can claim what fills the memory


class RawImage(Protocol):
    """What is read of a ``sensor_msgs/Image``, whichever library made it."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any
    """bytes, or an array of them"""


class PackedImage(Protocol):
    """What is read of a ``sensor_msgs/CompressedImage``, whichever library made it."""

    format: str
    data: Any
    """bytes, or an array of them"""


class ConversionError(FsbError):
    """A message that is not a picture we can read; the message names the value that is wrong."""


def image_to_bgr(message: RawImage) -> Picture:
    """The picture of a ``sensor_msgs/Image``: uint8 BGR (height, width, 3).

    16 bit become 8 by dropping the low byte. The array is read-only where it shares the memory of
    the message: that is bgr8 and 8UC3 without padding, which cost no copy.

    Raises:
        ConversionError: an encoding that is not in `ENCODINGS`, or a size that cannot be.
    """
    if message.encoding not in ENCODINGS:
        raise ConversionError(str(UnknownNameError("encoding", message.encoding, ENCODINGS)))
    encoding = ENCODINGS[message.encoding]
    rows = _rows(message, encoding)
    if message.encoding == "nv24":
        return _nv24_to_bgr(rows, message.width)
    samples = _samples(rows, message, encoding)
    if encoding.code is not None:
        return cv2.cvtColor(samples, encoding.code)
    picture = np.ascontiguousarray(samples)
    picture.flags.writeable = picture.base is None
    return picture


def _rows(message: RawImage, encoding: Encoding) -> Picture:
    """The bytes of the message, padding included, shape (rows of data, step): no copy."""
    width, height, step = int(message.width), int(message.height), int(message.step)
    _check_size(width, height)
    what = f"{width} x {height} px {message.encoding}"
    across, down = encoding.block
    if width % across or height % down:
        raise ConversionError(f"{what}: the size must be a multiple of {across} x {down} px")
    if min(width, height) < encoding.smallest:
        raise ConversionError(f"{what}: the sides must be {encoding.smallest} px or more")
    row = width * encoding.channels * encoding.sample_bytes
    if step < row:
        raise ConversionError(f"{what}: step is {step} bytes, but a row has {row}")
    count = int(height * encoding.rows)
    data = np.frombuffer(message.data, np.uint8) if len(message.data) else np.empty(0, np.uint8)
    if data.size < step * count:
        raise ConversionError(
            f"{what}: {step * count} bytes are needed ({count} rows of step {step}), "
            f"got {data.size}: the message is cut short, or its step or height is wrong"
        )
    return data[: step * count].reshape(count, step)


def _check_size(width: int, height: int) -> None:
    if not (1 <= width <= _LONGEST_SIDE and 1 <= height <= _LONGEST_SIDE):
        raise ConversionError(
            f"an image of {width} x {height} px: both sides must be 1 to {_LONGEST_SIDE} px"
        )


def _samples(rows: Picture, message: RawImage, encoding: Encoding) -> Picture:
    """One byte for each sample, shape (rows of data, width, channels), without padding."""
    shape = (len(rows), message.width, encoding.channels, encoding.sample_bytes)
    bytes_of = rows[:, : shape[1] * shape[2] * shape[3]].reshape(shape)
    high = 0 if message.is_bigendian else encoding.sample_bytes - 1
    return bytes_of[..., high]


def _nv24_to_bgr(rows: Picture, width: int) -> Picture:
    """OpenCV has no NV24, but it is the NV12 of a picture twice as wide and high."""
    height, step = len(rows) // 3, rows.shape[1]
    luma = rows[:height, :width].repeat(2, axis=0).repeat(2, axis=1)
    chroma = rows[height:].reshape(height, 2 * step)[:, : 2 * width]
    doubled = cv2.cvtColor(np.concatenate((luma, chroma)), cv2.COLOR_YUV2BGR_NV12)
    return np.ascontiguousarray(doubled[::2, ::2])


def compressed_to_bgr(message: PackedImage) -> Picture:
    """The picture of a ``sensor_msgs/CompressedImage``: uint8 BGR (height, width, 3).

    A turn that is noted in a JPEG's EXIF is not made: camera_info describes the pixels as stored.

    Raises:
        ConversionError: no data, compressed depth, or data that OpenCV cannot decode.
    """
    what = f"compressed image of format {message.format!r} and {len(message.data)} bytes"
    if "compressedDepth" in message.format:
        raise ConversionError(f"{what}: this is depth; subscribe to the colour image")
    width, height = claimed_size(bytes(message.data)) or (0, 0)
    if width * height > _MOST_PIXELS:
        raise ConversionError(
            f"{what}: it claims {width} x {height} px; up to {_MOST_PIXELS} px are read"
        )
    picture = _decode(np.frombuffer(message.data, np.uint8)) if len(message.data) else None
    if picture is None:
        raise ConversionError(f"{what}: it is empty, damaged or cut short, or not a still picture")
    _check_size(picture.shape[1], picture.shape[0])
    # image_transport can store red where blue belongs, and then says so.
    is_rgb = "compressed rgb" in message.format.partition(";")[2]
    return cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if is_rgb else picture


def _decode(data: Picture) -> Picture | None:
    try:
        return cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # a header of more pixels than OpenCV allows
        return None
