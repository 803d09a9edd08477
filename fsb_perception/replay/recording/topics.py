"""The topics of a recording: those named, those of named nodes, or all of images and of faces."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.bags.message_types import FACES
from fsb_perception.replay.bags.topics import COMPRESSED, RAW

if TYPE_CHECKING:
    from rosbags.interfaces import Qos

_DEFAULT_TYPES = (RAW, COMPRESSED, FACES)  # recorded where no topic and no node is named
_SETTLE = 0.7  # s in which the other publishers of a topic are discovered
_PATIENCE = 0.1  # s between looks

Notify = Callable[[str], None]
"""Takes one line for the user."""


class Subscriber(Protocol):
    """Subscribes to topics of a running robot and puts their messages into a backlog."""

    def published(self) -> dict[str, str]:
        """Return the type of every topic that has a publisher, by name."""
        ...

    def published_by(self, node: str) -> set[str]:
        """Return the topics of a node; none if there is no such node."""
        ...

    def offered(self, topic: str) -> Sequence[Qos]:
        """Return the quality of service that each publisher of a topic offers."""
        ...

    def subscribe(self, topic: str, kind: str) -> None:
        """Subscribe to a topic; `BagError` where its type is not installed."""
        ...


class TopicChoice:
    """The topics to record, among those that are published.

    Args:
        subscriber: lists what is published.
        topics: by name; if no node is named either, all of images and of `FaceAttributesArray`.
        nodes: wanted with all of their topics.
    """

    def __init__(self, subscriber: Subscriber, topics: Sequence[str], nodes: Sequence[str]) -> None:
        self._subscriber = subscriber
        self._topics = {f"/{name.strip('/')}" for name in topics}
        self._nodes = list(nodes)

    def available(self) -> dict[str, str]:
        """Return the types of the wanted topics that are published, by name."""
        published = self._subscriber.published()
        if not self._topics and not self._nodes:
            return {topic: kind for topic, kind in published.items() if kind in _DEFAULT_TYPES}
        names = self._topics.union(*map(self._subscriber.published_by, self._nodes))
        return {name: published[name] for name in sorted(names) if name in published}

    def missing(self) -> list[str]:
        """Return the names of topics and nodes that are wanted and not there."""
        if not self._topics and not self._nodes:
            return [] if self.available() else ["images or faces"]
        nodes = [f"node {n}" for n in self._nodes if not self._subscriber.published_by(n)]
        return sorted(self._topics - set(self._subscriber.published())) + nodes

    def wait(self, seconds: float, notify: Notify, stop: threading.Event) -> dict[str, str]:
        """Wait for the wanted topics, and return the types of those to begin with, by name.

        Args:
            seconds: to wait for topics that are not there.
            notify: takes lines for the user.
            stop: ends the wait.

        Raises:
            BagError: none is there after so long, or ``stop`` was set before.
        """
        deadline = time.monotonic() + seconds
        stop.wait(_SETTLE)
        if missing := self.missing():
            notify(f"Waiting up to {seconds:g} s for {', '.join(missing)}.")
            while (missing := self.missing()) and time.monotonic() < deadline:
                if stop.wait(_PATIENCE):
                    raise BagError("stopped before there was anything to record")
            stop.wait(_SETTLE)
        available, missing = self.available(), self.missing()  # some may have come meanwhile
        if not available:
            raise BagError(self._nothing(missing, seconds))
        if missing:
            notify(f"Recording without {', '.join(missing)}, which will be added if they come.")
        return available

    def _nothing(self, missing: Sequence[str], seconds: float) -> str:
        published = ", ".join(sorted(self._subscriber.published())) or "none at all"
        return (
            f"no publisher of {', '.join(missing)} after {seconds:g} s; topics here: {published}. "
            "Does the robot run with this ROS_DOMAIN_ID, where this machine sees it?"
        )


def image_topics(kinds: Mapping[str, str]) -> list[str]:
    """Return the topics of images among topics and their types.

    >>> image_topics({"/front/image": "sensor_msgs/msg/Image", "/tf": "tf2_msgs/msg/TFMessage"})
    ['/front/image']
    """
    return [topic for topic, kind in kinds.items() if kind in (RAW, COMPRESSED)]
