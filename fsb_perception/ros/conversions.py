"""ROS images from and to BGR: converted by the core, or by cv_bridge on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from fsb_perception.images.decoding import encode_picture
from fsb_perception.images.messages import JPEG_FORMAT, ConversionError, image_to_bgr
from fsb_perception.options import OptionError
from fsb_perception.registry import Registry
from fsb_perception.types import Image as Picture
from fsb_perception.types import check_image

Converter: TypeAlias = Callable[[Image], Picture]


def bgr_to_image(bgr: Picture, header: Header) -> Image:
    """Build a ``sensor_msgs/Image`` in bgr8, with a copy of the pixels.

    Args:
        bgr: uint8 BGR (height, width, 3).
        header: of the message.

    Raises:
        ValueError: ``bgr`` is anything else.
    """
    check_image(bgr)
    height, width, _ = bgr.shape
    message = Image(header=header, height=height, width=width, encoding="bgr8", step=3 * width)
    # Assigned in any other way, rclpy looks at every byte: 25 ms instead of 0.03 for 640 x 480.
    message.data.frombytes(np.ascontiguousarray(bgr).data.cast("B"))
    return message


def bgr_to_jpeg(bgr: Picture, header: Header, quality: int) -> CompressedImage:
    """Build a ``sensor_msgs/CompressedImage`` that holds a picture as JPEG.

    Args:
        bgr: uint8 BGR (height, width, 3).
        header: of the message.
        quality: of the JPEG, 0 to 100.

    Raises:
        PictureError: the picture has no pixels, or a side is too long for a JPEG.
    """
    message = CompressedImage(header=header, format=JPEG_FORMAT)
    message.data.frombytes(encode_picture(bgr, ".jpg", quality=quality))
    return message


def make_converter(name: str) -> Converter:
    """Return the function that turns images into BGR.

    Args:
        name: "numpy" for the core's, which "auto" takes too, or "cv_bridge".

    Raises:
        UnknownNameError: another name.
        OptionError: cv_bridge is not installed, or does not work with this NumPy.
    """
    return _CONVERTERS[name]()


def _cv_bridge() -> Converter:
    try:
        from cv_bridge import CvBridge

        bridge = CvBridge()
        # The first conversion loads its compiled half: better now than in a callback.
        bridge.imgmsg_to_cv2(
            Image(height=1, width=1, encoding="rgb8", step=3, data=[0, 0, 0]), "bgr8"
        )
    except Exception as error:  # a binary made for another NumPy may raise anything
        raise OptionError(
            f"converter: cv_bridge does not work here ({error or type(error).__name__}). Install "
            "it with ROS (ros-<distro>-cv-bridge), not from PyPI, or set converter to numpy"
        ) from error

    def convert(message: Image) -> Picture:
        try:
            return bridge.imgmsg_to_cv2(message, "bgr8")
        except Exception as error:  # boost wraps C++ errors in types of its own
            raise ConversionError(
                f"cv_bridge cannot convert {message.width} x {message.height} px "
                f"{message.encoding[:80]}: {str(error)[:300]}"
            ) from error

    return convert


_CONVERTERS: Registry[Callable[[], Converter]] = Registry(
    "converter",
    {"auto": lambda: image_to_bgr, "numpy": lambda: image_to_bgr, "cv_bridge": _cv_bridge},
)
