"""The annotated picture as a message; made only while someone listens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
from sensor_msgs.msg import CompressedImage

from fsb_perception.images.annotate import annotate
from fsb_perception.types import FaceAttributes, Image

_JPEG_QUALITY = 80


def debug_image(
    image: Image, faces: Sequence[FaceAttributes], header: Any, width: int
) -> CompressedImage:
    """``image`` with its faces drawn, at most ``width`` px wide, as JPEG: raw would be slow."""
    picture = annotate(image, faces)
    if picture.shape[1] > width:
        scale = width / picture.shape[1]
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    message = CompressedImage(header=header, format="bgr8; jpeg compressed bgr8")
    message.data.frombytes(jpeg.tobytes())
    return message
