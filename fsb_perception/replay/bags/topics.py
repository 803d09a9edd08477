"""The topics of images in a recording, and the camera that each belongs to."""

from __future__ import annotations

from dataclasses import dataclass

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_NOT_COLOUR = ("compressedDepth", "theora", "ffmpeg")  # transports that carry no still colour image


@dataclass(frozen=True)
class ImageTopic:
    """A topic of images.

    Attributes:
        name: of the topic.
        type: `RAW` or `COMPRESSED`.
        count: its messages; 0 where the bag does not say.

    >>> ImageTopic("/front/image_raw", RAW, 30)
    ImageTopic(name='/front/image_raw', type='sensor_msgs/msg/Image', count=30)
    """

    name: str
    type: str
    count: int = 0

    @property
    def camera(self) -> str:
        """The camera's name: that of the topic without the parts that say it is an image.

        >>> ImageTopic("/head/front/image_raw/compressed", COMPRESSED).camera
        'head/front'
        >>> ImageTopic("/image", RAW).camera
        ''
        """
        parts = self.name.strip("/").split("/")
        if parts[-1] == "compressed":
            parts.pop()
        if parts and parts[-1].startswith("image"):
            parts.pop()
        return "/".join(parts)

    @property
    def is_depth(self) -> bool:
        """True if its name says that the pixels are distances."""
        return "depth" in self.name.lower()


def holds_pictures(name: str, type: str) -> bool:
    """Return whether a topic of that name and type carries still colour images.

    >>> holds_pictures("/image", RAW), holds_pictures("/image/compressedDepth", COMPRESSED)
    (True, False)
    """
    return type in (RAW, COMPRESSED) and not name.endswith(_NOT_COLOUR)
