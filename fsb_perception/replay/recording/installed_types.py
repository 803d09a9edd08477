"""Definitions of the messages that this machine has installed, for the bag that is being written.

    sensor_msgs/msg/Image --> share/sensor_msgs/msg/Image.msg --> and those of its fields

They are read where ROS installs them, so that a bag describes what the running nodes have sent,
in any release of ROS 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fsb_perception.ament import share_folders
from fsb_perception.replay.bags.errors import BagError, require_packages

if TYPE_CHECKING:
    from rosbags.interfaces.typing import Typesdict

_NAME = re.compile(r"(\w+)/msg/(\w+)")


class InstalledTypes:
    """A typestore of rosbags that holds the installed types that were added to it.

    Attributes:
        store: for rosbags' writer.

    Raises:
        BagError: rosbags is missing.
    """

    def __init__(self) -> None:
        require_packages()
        from rosbags.typesys import Stores, get_typestore

        self.store = get_typestore(Stores.EMPTY)

    def add(self, name: str) -> None:
        """Add a type, for instance ``sensor_msgs/msg/Image``, and those of its fields.

        Raises:
            BagError: it is no message, or its definition is not installed.
        """
        from rosbags.typesys import get_types_from_msg

        new: Typesdict = {}
        pending = [name]
        while pending:
            current = pending.pop()
            if current not in new and current not in self.store.fielddefs:
                new |= get_types_from_msg(_definition(current), current)
                pending.extend(_message_fields(new[current]))
        if new:
            self.store.register(new)


def split_name(name: str) -> tuple[str, str]:
    """Return the package and the message of a type.

    >>> split_name("sensor_msgs/msg/Image")
    ('sensor_msgs', 'Image')

    Raises:
        BagError: it is of a service or an action, which bags of topics do not describe.
    """
    match = _NAME.fullmatch(name)
    if not match:
        raise BagError(f"{name} is no message of a topic, as sensor_msgs/msg/Image is")
    return match[1], match[2]


def not_installed(name: str) -> BagError:
    """Build the error of a type whose package this machine lacks."""
    package, _ = split_name(name)
    return BagError(
        f"{name} is not installed here: source the workspace that has the package {package} "
        "(. install/setup.bash), and start again"
    )


def _definition(name: str) -> str:
    package, message = split_name(name)
    for folder in share_folders(package):
        path = folder / "msg" / f"{message}.msg"
        if path.is_file():
            return path.read_text("utf-8")
    raise not_installed(name)


def _message_fields(definition: Any) -> Iterator[str]:
    """Yield the types of those fields of a message that are messages."""
    from rosbags.interfaces import Nodetype

    _, fields = definition
    for _, (kind, content) in fields:
        if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
            kind, content = content[0]
        if kind == Nodetype.NAME:
            yield content
