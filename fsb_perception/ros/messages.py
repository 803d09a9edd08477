"""Faces and bundles as ROS messages, and back; `fsb_perception.codec` has the fields."""

from __future__ import annotations

from collections.abc import Sequence

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from std_msgs.msg import Header

import fsb_perception.msg as msg
from fsb_perception.bundles.bundle import Bundle
from fsb_perception.codec import from_message, to_message
from fsb_perception.field_kinds import MessageLibrary, to_nanoseconds
from fsb_perception.types import FaceAttributes

__all__ = [
    "array_to_msg",
    "attributes_to_msg",
    "bundle_to_msg",
    "faces_of",
    "to_nanoseconds",
    "to_time",
]

_SECOND = 1_000_000_000  # ns
_LAST_SECOND = 2**31 - 1  # of a Time: in the year 2038


def to_time(nanoseconds: int) -> Time:
    """Return a stamp as ``builtin_interfaces/Time``; 0 stays 0, for never.

    Raises:
        ValueError: a stamp below 0 or after 2038-01-19, which the message cannot hold.
    """
    sec, nanosec = divmod(int(nanoseconds), _SECOND)
    if not 0 <= sec <= _LAST_SECOND:
        raise ValueError(f"a stamp must be 0 to {_LAST_SECOND} s, got {nanoseconds} ns")
    return Time(sec=sec, nanosec=nanosec)


_LIBRARY = MessageLibrary(
    face=msg.FaceAttributes, estimate=msg.AttributeEstimate, point=Point, time=to_time
)


def array_to_msg(
    faces: Sequence[FaceAttributes],
    header: Header,
    *,
    camera: str,
    width: int,
    height: int,
    sequence: int,
    dropped: int,
    wait_time: float,
    process_time: float,
    bundle_id: str,
) -> msg.FaceAttributesArray:
    """Return one processed image as a message; ``FaceAttributesArray.msg`` describes the fields.

    Args:
        faces: empty if none is followed.
        header: of the image, unchanged; it is shared with every face.
        camera: its name; empty for the one unnamed camera.
        width: of the image in pixels.
        height: of the image in pixels.
        sequence: images processed since activation, this one included.
        dropped: images received since activation and not processed.
        wait_time: from arrival to the start of processing, in seconds.
        process_time: from there to this message, in seconds.
        bundle_id: of the bundle that read the faces.
    """
    return msg.FaceAttributesArray(
        header=header,
        camera=camera,
        width=int(width),
        height=int(height),
        sequence=int(sequence),
        dropped=int(dropped),
        wait_time=float(wait_time),
        process_time=float(process_time),
        bundle_id=bundle_id,
        faces=[attributes_to_msg(face, header) for face in faces],
    )


def attributes_to_msg(attributes: FaceAttributes, header: Header) -> msg.FaceAttributes:
    """Return one followed face as a message.

    Its position in space is not known here: POSITION_NONE and NaN.
    """
    return to_message(attributes, header, _LIBRARY)


def bundle_to_msg(bundle: Bundle, stamp: int, tasks: Sequence[str] = ()) -> msg.BundleInfo:
    """Return the bundle in use as a message.

    Args:
        bundle: the loaded one.
        stamp: time of loading, in nanoseconds of the node's clock.
        tasks: names of the tasks that are switched on; empty for all that the bundle has.
    """
    names = [task.name for task in bundle.tasks]
    return msg.BundleInfo(
        stamp=to_time(stamp),
        bundle_id=bundle.bundle_id,
        tasks=[name for name in names if not tasks or name in tasks],
        manifest=bundle.manifest.to_json(),
    )


def faces_of(array: msg.FaceAttributesArray) -> list[FaceAttributes]:
    """Return the faces of a message."""
    return [from_message(message) for message in array.faces]
