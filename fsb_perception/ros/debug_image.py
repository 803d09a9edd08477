"""The annotated picture as a message; the node makes it only while a subscriber listens."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from fsb_perception.images.annotate import annotate
from fsb_perception.ros.conversions import bgr_to_jpeg
from fsb_perception.types import FaceAttributes, Image

_JPEG_QUALITY = 80


def debug_image(
    image: Image, faces: Sequence[FaceAttributes], header: Header, width: int
) -> CompressedImage:
    """Build a message of the picture with its faces drawn, as JPEG: a raw image would be slow.

    Args:
        image: uint8 BGR (height, width, 3).
        faces: in pixels of ``image``.
        header: of the message.
        width: of the message's picture at most, in pixels.
    """
    picture = annotate(image, faces)
    if picture.shape[1] > width:
        scale = width / picture.shape[1]
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        picture = np.asarray(small, np.uint8)
    return bgr_to_jpeg(picture, header, _JPEG_QUALITY)
