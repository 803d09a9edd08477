"""The layouts of pixels in ``sensor_msgs/Image``: a table with one row for each encoding.

The names are those of ``sensor_msgs/image_encodings.hpp``. Depth in floats is left out on purpose:
it shows no face.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import cv2


@dataclass(frozen=True)
class Encoding:
    """The layout of the bytes of one encoding.

    Attributes:
        channels: samples of each pixel, in the first plane.
        code: of ``cv2.cvtColor`` to BGR; None if the encoding is BGR.
        sample_bytes: 2 for 16 bits.
        rows: rows of data for one row of the picture; above 1 if colour planes follow.
        block: (width, height) in pixels; the size must be a multiple of both.
        smallest: shortest side that OpenCV can convert, in pixels.

    >>> ENCODINGS["rgb8"].channels, ENCODINGS["nv12"].rows
    (3, Fraction(3, 2))
    """

    channels: int
    code: int | None
    sample_bytes: int = 1
    rows: Fraction = Fraction(1)
    block: tuple[int, int] = (1, 1)
    smallest: int = 1


def _plain(name: str, channels: int, code: int | None) -> dict[str, Encoding]:
    return {f"{name}{8 * size}": Encoding(channels, code, size) for size in (1, 2)}


def _packed(code: int) -> Encoding:
    return Encoding(2, code, block=(2, 1))


def _planar(code: int, rows: Fraction, side: int) -> Encoding:
    return Encoding(1, code, rows=rows, block=(side, side))


_NV12 = cv2.COLOR_YUV2BGR_NV12
_GRAY, _BGRA = cv2.COLOR_GRAY2BGR, cv2.COLOR_BGRA2BGR
# OpenCV's short names of the Bayer patterns are shifted by one pixel; the long ones are right.
_BAYER = {
    "rggb": cv2.COLOR_BayerRGGB2BGR,
    "bggr": cv2.COLOR_BayerBGGR2BGR,
    "gbrg": cv2.COLOR_BayerGBRG2BGR,
    "grbg": cv2.COLOR_BayerGRBG2BGR,
}

ENCODINGS: dict[str, Encoding] = {
    **_plain("mono", 1, _GRAY),
    **_plain("bgr", 3, None),
    **_plain("rgb", 3, cv2.COLOR_RGB2BGR),
    **_plain("bgra", 4, _BGRA),
    **_plain("rgba", 4, cv2.COLOR_RGBA2BGR),
    # OpenCV's own names leave the order of colours open; as everywhere in OpenCV, it is BGR.
    "8UC1": Encoding(1, _GRAY),
    "8UC3": Encoding(3, None),
    "8UC4": Encoding(4, _BGRA),
    "16UC1": Encoding(1, _GRAY, 2),
    "16UC3": Encoding(3, None, 2),
    "16UC4": Encoding(4, _BGRA, 2),
    # ROS has an old and a new name for each of these.
    "yuv422": _packed(cv2.COLOR_YUV2BGR_UYVY),
    "uyvy": _packed(cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": _packed(cv2.COLOR_YUV2BGR_YUYV),
    "yuyv": _packed(cv2.COLOR_YUV2BGR_YUYV),
    "nv12": _planar(_NV12, Fraction(3, 2), 2),
    "nv21": _planar(cv2.COLOR_YUV2BGR_NV21, Fraction(3, 2), 2),
    "nv24": _planar(_NV12, Fraction(3), 1),
    **{
        f"bayer_{name}{8 * size}": Encoding(1, code, size, smallest=3)
        for name, code in _BAYER.items()
        for size in (1, 2)
    },
}
