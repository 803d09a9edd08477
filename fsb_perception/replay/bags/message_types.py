"""Message definitions for bags: ROS's own, FSB's, and the viewers' annotations."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fsb_perception.ament import own_folders
from fsb_perception.replay.bags.errors import BagError, require_packages

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

FACES = "fsb_perception/msg/FaceAttributesArray"
ANNOTATIONS = "foxglove_msgs/msg/ImageAnnotations"

# The schemas that Foxglove and Lichtblick draw over images; their documentation names the fields.
_VIEWER = {
    "Point2": "float64 x\nfloat64 y",
    "Color": "float64 r\nfloat64 g\nfloat64 b\nfloat64 a",
    "CircleAnnotation": (
        "builtin_interfaces/Time timestamp\nfoxglove_msgs/Point2 position\nfloat64 diameter\n"
        "float64 thickness\nfoxglove_msgs/Color fill_color\nfoxglove_msgs/Color outline_color"
    ),
    "PointsAnnotation": (
        "uint8 UNKNOWN=0\nuint8 POINTS=1\nuint8 LINE_LOOP=2\nuint8 LINE_STRIP=3\n"
        "uint8 LINE_LIST=4\nbuiltin_interfaces/Time timestamp\nuint8 type\n"
        "foxglove_msgs/Point2[] points\nfoxglove_msgs/Color outline_color\n"
        "foxglove_msgs/Color[] outline_colors\nfoxglove_msgs/Color fill_color\nfloat64 thickness"
    ),
    "TextAnnotation": (
        "builtin_interfaces/Time timestamp\nfoxglove_msgs/Point2 position\nstring text\n"
        "float64 font_size\nfoxglove_msgs/Color text_color\nfoxglove_msgs/Color background_color"
    ),
    "ImageAnnotations": (
        "foxglove_msgs/CircleAnnotation[] circles\nfoxglove_msgs/PointsAnnotation[] points\n"
        "foxglove_msgs/TextAnnotation[] texts"
    ),
}


@cache
def ros_types() -> Typestore:
    """Return rosbags' typestore with the messages of ROS; nothing may be added to it.

    Raises:
        BagError: rosbags is missing.
    """
    return _new_ros_types()


@cache
def all_types() -> Typestore:
    """Return rosbags' typestore with every message that a replay writes.

    Raises:
        BagError: rosbags is missing, or FSB's own message files are.
    """
    types = _new_ros_types()
    from rosbags.typesys import get_types_from_msg

    texts = {f"foxglove_msgs/msg/{name}": text for name, text in _VIEWER.items()}
    texts |= {f"fsb_perception/msg/{p.stem}": p.read_text("utf-8") for p in _message_files()}
    for name, text in texts.items():
        types.register(get_types_from_msg(text, name))
    return types


def _new_ros_types() -> Typestore:
    require_packages()
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_KILTED)


def _message_files() -> list[Path]:
    for folder in own_folders():
        if files := sorted(folder.glob("msg/*.msg")):
            return files
    raise BagError("FSB's message files are not installed: install or build the package again")
