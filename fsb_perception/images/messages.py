"""Images of ROS, live or from a bag, as OpenCV's BGR; needs NumPy and OpenCV alone.

Each encoding that is read is one row of `ENCODINGS`. Every other one is refused, never guessed at.
"""

from __future__ import annotations

from array import array
from typing import Protocol, TypeAlias

import cv2
import numpy as np

from fsb_perception.errors import FsbError
from fsb_perception.images.decoding import ROBOT, DecodingConfig, check_size, decode_picture
from fsb_perception.images.encodings import ENCODINGS, Encoding
from fsb_perception.images.headers import PictureError
from fsb_perception.registry import UnknownNameError
from fsb_perception.types import Image as Picture

Bytes: TypeAlias = "bytes | array[int] | Picture"
"""The data of a message, as rosbags and rclpy have it."""

JPEG_FORMAT = "bgr8; jpeg compressed bgr8"
"""The ``format`` of a ``sensor_msgs/CompressedImage`` whose data is a BGR picture as JPEG."""


class RawImage(Protocol):
    """The fields of a ``sensor_msgs/Image`` that are read, whichever library made it."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int

    @property
    def data(self) -> Bytes:
        """The pixels, row by row."""
        ...


class PackedImage(Protocol):
    """The fields of a ``sensor_msgs/CompressedImage`` that are read, whichever library made it."""

    format: str

    @property
    def data(self) -> Bytes:
        """The encoded picture."""
        ...


class ConversionError(FsbError):
    """A message that holds no picture FSB can read; the text names the value that is wrong."""


def image_to_bgr(message: RawImage) -> Picture:
    """Return the picture of a ``sensor_msgs/Image`` as uint8 BGR (height, width, 3).

    16 bits become 8 by dropping the low byte. The array is read-only where it shares the memory of
    the message: bgr8 and 8UC3 without padding are not copied.

    Raises:
        ConversionError: the encoding is not in `ENCODINGS`, or the size, step and data do not fit.

    >>> from types import SimpleNamespace
    >>> grey = SimpleNamespace(
    ...     height=1, width=2, encoding="mono8", is_bigendian=0, step=2, data=bytes([0, 255])
    ... )
    >>> image_to_bgr(grey).tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    if message.encoding not in ENCODINGS:
        raise ConversionError(str(UnknownNameError("encoding", message.encoding, ENCODINGS)))
    encoding = ENCODINGS[message.encoding]
    rows = _rows(message, encoding)
    if message.encoding == "nv24":
        return _nv24_to_bgr(rows, message.width)
    samples = _samples(rows, message, encoding)
    if encoding.code is not None:
        return np.asarray(cv2.cvtColor(samples, encoding.code), np.uint8)
    picture = np.ascontiguousarray(samples)
    picture.flags.writeable = picture.base is None
    return picture


def _rows(message: RawImage, encoding: Encoding) -> Picture:
    """Return the bytes of the message, padding included, as (rows of data, step): no copy."""
    width, height, step = int(message.width), int(message.height), int(message.step)
    title = f"{width} x {height} px {message.encoding}"
    _check_size(title, width, height, encoding)
    row = width * encoding.channels * encoding.sample_bytes
    if step < row:
        raise ConversionError(f"{title}: step is {step} bytes, but a row has {row}")
    count = int(height * encoding.rows)
    data = np.frombuffer(message.data, np.uint8) if len(message.data) else np.empty(0, np.uint8)
    if data.size < step * count:
        raise ConversionError(
            f"{title}: {step * count} bytes are needed ({count} rows of step {step}), "
            f"got {data.size}: the message is cut short, or its step or height is wrong"
        )
    return data[: step * count].reshape(count, step)


def _check_size(title: str, width: int, height: int, encoding: Encoding) -> None:
    try:
        check_size(width, height)
    except PictureError as error:
        raise ConversionError(f"{title}: {error}") from error
    across, down = encoding.block
    if width % across or height % down:
        raise ConversionError(f"{title}: the size must be a multiple of {across} x {down} px")
    if min(width, height) < encoding.smallest:
        raise ConversionError(f"{title}: the sides must be {encoding.smallest} px or more")


def _samples(rows: Picture, message: RawImage, encoding: Encoding) -> Picture:
    """Return one byte for each sample, (rows of data, width, channels), without padding."""
    shape = (len(rows), message.width, encoding.channels, encoding.sample_bytes)
    sample_bytes = rows[:, : shape[1] * shape[2] * shape[3]].reshape(shape)
    high = 0 if message.is_bigendian else encoding.sample_bytes - 1
    return sample_bytes[..., high]


def _nv24_to_bgr(rows: Picture, width: int) -> Picture:
    """Convert NV24, which OpenCV lacks: it is the NV12 of a picture twice as wide and high."""
    height, step = len(rows) // 3, rows.shape[1]
    luma = rows[:height, :width].repeat(2, axis=0).repeat(2, axis=1)
    chroma = rows[height:].reshape(height, 2 * step)[:, : 2 * width]
    doubled = cv2.cvtColor(np.concatenate((luma, chroma)), cv2.COLOR_YUV2BGR_NV12)
    return np.ascontiguousarray(doubled[::2, ::2], np.uint8)


def compressed_to_bgr(message: PackedImage, config: DecodingConfig = ROBOT) -> Picture:
    """Return the picture of a ``sensor_msgs/CompressedImage`` as uint8 BGR (height, width, 3).

    EXIF data does not turn it: camera_info describes the pixels as stored.

    Args:
        message: as rosbags or rclpy have it.
        config: limits.

    Raises:
        ConversionError: compressed depth, or `decode_picture` refuses the data.

    >>> from types import SimpleNamespace
    >>> red = SimpleNamespace(format="ppm", data=b"P6 1 1 255 " + bytes([255, 0, 0]))
    >>> compressed_to_bgr(red, DecodingConfig(formats=["pnm"])).tolist()
    [[[0, 0, 255]]]
    """
    title = f"compressed image of format {message.format[:80]!r} and {len(message.data)} bytes"
    if "compressedDepth" in message.format:
        raise ConversionError(f"{title}: this is depth; subscribe to the colour image")
    try:
        picture = decode_picture(bytes(message.data), upright=False, config=config)
    except PictureError as error:
        raise ConversionError(f"{title}: {error}") from error
    # image_transport can store red where blue belongs, and its format then names rgb.
    is_rgb = "compressed rgb" in message.format.partition(";")[2]
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)) if is_rgb else picture
