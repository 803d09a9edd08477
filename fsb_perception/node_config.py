"""The options of the node ``face_attributes``: those of the pipeline, and its own.

They need no ROS, so that a replay can read a robot's parameter file.
"""

from __future__ import annotations

import re

from pydantic import field_validator

from fsb_perception.config import PerceptionConfig
from fsb_perception.options import option
from fsb_perception.tracking import face_id_part

# Parameters that ROS itself gives to every node; the last entry is a prefix.
_ROS_PARAMETERS = ("use_sim_time", "start_type_description_service", "qos_overrides.")
# A relative topic name of ROS, and a face_id of FaceAttributes.msg.
_CAMERA = re.compile(r"[A-Za-z]\w*(/[A-Za-z]\w*)*", re.ASCII)
_ID_PREFIX = re.compile(r"[a-z][a-z0-9_]*")


class NodeConfig(PerceptionConfig):
    """All options of the node ``face_attributes``.

    >>> from fsb_perception.options import build
    >>> build(NodeConfig, {"cameras": ["front", "rear"], "tracker.max_coast": 0.5}).cameras
    ('front', 'rear')
    """

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
        "library that decodes image messages; auto is numpy, our own code",
        choices=("auto", "numpy", "cv_bridge"),
    )
    autostart: bool = option(True, "configure and activate at the start")
    id_prefix: str = option("", "start of every face_id; empty for a new random one at each start")
    stale_after: float = option(
        2.0,
        "without an image for this long, diagnostics warn",
        unit="s",
        ge=0.1,
        le=3600.0,
    )
    max_answer_age: float = option(
        10.0,
        "an answer that is ready later than this after the arrival of its image is not published",
        unit="s",
        ge=0.1,
        le=3600.0,
    )
    debug_image: bool = option(
        False, "publish the annotated picture on ~/debug_image/compressed while it is subscribed to"
    )
    debug_width: int = option(
        640, "largest width of debug images", unit="px", ge=64, le=3840, live=True
    )

    @field_validator("cameras")
    @classmethod
    def _check_cameras(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse a name that is no part of a topic, or whose face_ids another camera may give."""
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


def is_ros_parameter(name: str) -> bool:
    """Return whether ROS gives this parameter to every node; such a one is no option of ours.

    >>> is_ros_parameter("use_sim_time"), is_ros_parameter("bundle")
    (True, False)
    """
    return name.startswith(_ROS_PARAMETERS)


def option_value(value: object) -> object:
    """Return the value of a ROS parameter as that of an option; see `parameter_value`.

    >>> option_value(["gender", "emotion"]), option_value([""]), option_value(0.5)
    (('gender', 'emotion'), (), 0.5)
    """
    if isinstance(value, (tuple, list)):
        return tuple(entry for entry in value if entry != "")
    return value


def parameter_value(value: object) -> object:
    """Return the value of an option as that of a ROS parameter.

    An empty list has no type in ROS, so ``[""]`` stands for it.

    >>> parameter_value(("gender", "emotion")), parameter_value(()), parameter_value(0.5)
    (['gender', 'emotion'], [''], 0.5)
    """
    if isinstance(value, (tuple, list)):
        return list(value) or [""]
    return value
