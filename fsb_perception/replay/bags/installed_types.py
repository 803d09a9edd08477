"""Definitions of messages as this machine has them, for bags in which others must read them.

    sensor_msgs/msg/Image --> share/sensor_msgs/msg/Image.msg --> and of all that it is made of

They are read where ROS installs them, so a bag describes what the running nodes have sent, of
whichever ROS they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fsb_perception.ament import share_folders
from fsb_perception.replay.bags.reader import BagError, require_packages

_NAME = re.compile(r"(\w+)/msg/(\w+)")


class InstalledTypes:
    """A typestore of rosbags that grows by what is asked for.

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
        """Take in a type, as ``sensor_msgs/msg/Image``, and those of its fields.

        Raises:
            BagError: it is no message, or its definition is not installed.
        """
        from rosbags.typesys import get_types_from_msg

        new: dict[str, Any] = {}
        left = [name]
        while left:
            current = left.pop()
            if current not in new and current not in self.store.fielddefs:
                new |= get_types_from_msg(_text(current), current)
                left.extend(_parts(new[current]))
        if new:
            self.store.register(new)


def split_name(name: str) -> tuple[str, str]:
    """Package and message of a type.

    >>> split_name("sensor_msgs/msg/Image")
    ('sensor_msgs', 'Image')

    Raises:
        BagError: it is of a service or an action, which bags of topics do not describe.
    """
    found = _NAME.fullmatch(name)
    if not found:
        raise BagError(f"{name} is no message of a topic, as sensor_msgs/msg/Image is")
    return found[1], found[2]


def _text(name: str) -> str:
    package, message = split_name(name)
    for folder in share_folders(package):
        path = folder / "msg" / f"{message}.msg"
        if path.is_file():
            return path.read_text("utf-8")
    raise BagError(
        f"the definition of {name} is not installed here: source the workspace that has the "
        f"package {package} (. install/setup.bash), and start again"
    )


def _parts(definition: Any) -> Iterator[str]:
    """Names of the messages among the fields of a message."""
    from rosbags.interfaces import Nodetype

    _, fields = definition
    for _, (kind, content) in fields:
        if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
            kind, content = content[0]
        if kind == Nodetype.NAME:
            yield content
