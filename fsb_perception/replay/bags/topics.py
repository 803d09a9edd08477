"""The topics of images in a recording, and the camera that each belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_TRANSPORTS = ("compressedDepth", "theora", "ffmpeg", "zstd")  # not decoded; the last part of names
# A part of these words alone says that the topic is an image, and nothing about the camera.
_IMAGE_WORDS = frozenset(
    ("image", "raw", "rect", "rectified", "color", "colour", "mono", "rgb", "bgr", "resized")
)
_DISTANCES = re.compile(r"\d+FC\d|16UC1")  # REP 118: metres as floats, or millimetres


@dataclass(frozen=True)
class ImageTopic:
    """A topic of images.

    Attributes:
        name: of the topic.
        type: `RAW` or `COMPRESSED`.
        count: its messages; 0 where the bag does not say.
        encoding: of its first image; empty where that is not known.

    >>> ImageTopic("/front/image_raw", RAW, 30)
    ImageTopic(name='/front/image_raw', type='sensor_msgs/msg/Image', count=30, encoding='')
    """

    name: str
    type: str
    count: int = 0
    encoding: str = ""

    @property
    def camera(self) -> str:
        """The camera's name: that of the topic without the parts that say it is an image.

        >>> ImageTopic("/head/front/image_raw/compressed", COMPRESSED).camera
        'head/front'
        >>> ImageTopic("/stereo/image_left", RAW).camera
        'stereo/image_left'
        >>> ImageTopic("/image", RAW).camera
        ''
        """
        parts = self.name.strip("/").split("/")
        if parts[-1] == "compressed":
            parts.pop()
        if parts and parts[-1].startswith("image") and _IMAGE_WORDS.issuperset(_words(parts[-1])):
            parts.pop()
        return "/".join(parts)

    @property
    def is_depth(self) -> bool:
        """True if the pixels are distances, by their encoding or else by the camera's last part.

        >>> ImageTopic("/depth_cam/rgb/image_raw", COMPRESSED).is_depth
        False
        >>> ImageTopic("/cam/depth/image_raw", COMPRESSED).is_depth
        True
        >>> ImageTopic("/cam/image_raw", RAW, encoding="32FC1").is_depth
        True
        """
        if self.encoding:
            return _DISTANCES.fullmatch(self.encoding) is not None
        return "depth" in _words(self.camera.rpartition("/")[2])


def _words(part: str) -> list[str]:
    return part.lower().split("_")


def is_image_type(type: str) -> bool:
    """Return whether a type is that of images.

    >>> is_image_type(RAW), is_image_type("std_msgs/msg/String")
    (True, False)
    """
    return type in (RAW, COMPRESSED)


def unread_transport(name: str) -> str:
    """Return the transport of a topic if its images are not decoded, else "".

    >>> unread_transport("/image/zstd"), unread_transport("/image/compressed")
    ('zstd', '')
    """
    last = name.rpartition("/")[2]
    return last if last in _TRANSPORTS else ""
