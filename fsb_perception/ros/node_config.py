"""What the node can be told besides what the pipeline can; needs no ROS to be read."""

from __future__ import annotations

import re
from typing import Any

from pydantic import field_validator

from fsb_perception.config import PerceptionConfig
from fsb_perception.options import option
from fsb_perception.tracking import face_id_part

# Parameters that ROS itself gives to every node.
_OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.")
# As ROS has names of topics, relative ones; and as FaceAttributes.msg has a face_id.
_CAMERA = re.compile(r"[A-Za-z]\w*(/[A-Za-z]\w*)*", re.ASCII)
_ID_PREFIX = re.compile(r"[a-z][a-z0-9_]*")


class NodeConfig(PerceptionConfig):
    """Everything that the node ``face_attributes`` can be told."""

    cameras: tuple[str, ...] = option(
        (), "names of several cameras, whose topics are <name>/image; empty for one, on image"
    )
    image_transport: str = option(
        "raw",
        "which images to subscribe to: image, or image/compressed",
        choices=("raw", "compressed"),
    )
    image_reliability: str = option(
        "auto",
        "how to subscribe to images; auto is reliable when every publisher offers it",
        choices=("auto", "reliable", "best_effort"),
    )
    converter: str = option(
        "auto",
        "who turns image messages into pictures; auto is our own, numpy",
        choices=("auto", "numpy", "cv_bridge"),
    )
    autostart: bool = option(True, "configure and activate by itself")
    id_prefix: str = option("", "what every face_id begins with; empty for a new one at each start")
    stale_after: float = option(
        2.0, "without an image for so long, diagnostics warn", unit="s", ge=0.1, le=3600.0
    )
    debug_image: bool = option(
        False, "offer ~/debug_image/compressed, the annotated picture, to whoever subscribes to it"
    )
    debug_width: int = option(
        640, "debug images are at most this wide", unit="px", ge=64, le=3840, live=True
    )

    @field_validator("cameras")
    @classmethod
    def _check_cameras(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Each must do as part of a topic, and of a face_id that no other camera can give."""
        prefixes = [face_id_part(name) for name in names]
        for name, prefix in zip(names, prefixes, strict=True):
            if not _CAMERA.fullmatch(name):
                raise ValueError(f"{name!r} is no name for a topic: use letters, digits, _ and /")
            if prefixes.count(prefix) > 1:
                raise ValueError(f"{name!r} is there twice, or differs from another in case alone")
        return names

    @field_validator("id_prefix")
    @classmethod
    def _check_id_prefix(cls, prefix: str) -> str:
        if prefix and not _ID_PREFIX.fullmatch(prefix):
            raise ValueError(
                f"got {prefix!r}; it takes lower-case letters, digits and _, a letter first"
            )
        return prefix


def is_of_ros(name: str) -> bool:
    """Whether a parameter is one that ROS gives to every node, and none of our options."""
    return name.startswith(_OF_ROS)


def from_ros(value: Any) -> Any:
    """A parameter's value as an option's: an empty list has no type in ROS, [''] stands for it."""
    if isinstance(value, (tuple, list)):
        return tuple(entry for entry in value if entry != "")
    return value
