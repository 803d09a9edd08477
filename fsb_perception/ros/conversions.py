"""Images of ROS from and to BGR: by the core, or by cv_bridge if it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from fsb_perception.images.messages import ConversionError, image_to_bgr
from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_perception.types import Image as Picture
from fsb_perception.types import check_image

Converter: TypeAlias = Callable[[Image], Picture]


def bgr_to_image(bgr: Picture, header: Header) -> Image:
    """A ``sensor_msgs/Image`` in bgr8, with a copy of the pixels.

    Args:
        bgr: uint8 BGR (height, width, 3); `ValueError` if it is anything else.
        header: goes into the message as it is.
    """
    check_image(bgr)
    height, width, _ = bgr.shape
    message = Image(header=header, height=height, width=width, encoding="bgr8", step=3 * width)
    # Assigned in any other way, rclpy looks at every byte: 25 ms instead of 0.03 for 640 x 480.
    message.data.frombytes(np.ascontiguousarray(bgr).data.cast("B"))
    return message


def make_converter(name: str) -> Converter:
    """What turns images into BGR: "numpy" for ours, which "auto" takes too, or "cv_bridge".

    Raises:
        UnknownNameError: another name.
        OptionError: cv_bridge is not there, or does not work with this NumPy.
    """
    makers = {"auto": lambda: image_to_bgr, "numpy": lambda: image_to_bgr, "cv_bridge": _cv_bridge}
    if name not in makers:
        raise UnknownNameError("converter", name, makers)
    return makers[name]()


def _cv_bridge() -> Converter:
    try:
        from cv_bridge import CvBridge

        bridge = CvBridge()
        # Its compiled half is loaded by the first conversion only: better now than in a callback.
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
                f"{message.encoding}: {error}"
            ) from error

    return convert
