"""Which topics a recording takes: those named, those of nodes, or all of images and of faces."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from fsb_perception.replay.bags.message_types import FACES
from fsb_perception.replay.bags.reader import COMPRESSED, RAW, BagError
from fsb_perception.ros.recording.node import Recorder

_UNASKED = (RAW, COMPRESSED, FACES)  # types that are taken where nothing is named
_SETTLE = 0.7  # s in which the other publishers of a topic are discovered
_PATIENCE = 0.1  # s between looks


class Choice:
    """What to record, among what is published.

    Args:
        recorder: looks around.
        topics: by name; with no node either, all of images and of `FaceAttributesArray`.
        nodes: all of whose topics are wanted.
    """

    def __init__(self, recorder: Recorder, topics: Sequence[str], nodes: Sequence[str]) -> None:
        self._recorder = recorder
        self._topics = {f"/{name.strip('/')}" for name in topics}
        self._nodes = list(nodes)

    def found(self) -> dict[str, str]:
        """Types of the topics that are there, by name."""
        published = self._recorder.published()
        if not self._topics and not self._nodes:
            return {topic: kind for topic, kind in published.items() if kind in _UNASKED}
        names = self._topics.union(*(self._recorder.published_by(node) for node in self._nodes))
        return {name: published[name] for name in sorted(names) if name in published}

    def missing(self) -> list[str]:
        """What is wanted and is not there, in words."""
        if not self._topics and not self._nodes:
            return [] if self.found() else ["images or faces"]
        topics = sorted(self._topics - set(self._recorder.published()))
        return topics + [f"node {n}" for n in self._nodes if not self._recorder.published_by(n)]

    def wait(
        self, seconds: float, tell: Callable[[str], None], stop: threading.Event
    ) -> dict[str, str]:
        """The topics to begin with, and their types.

        Args:
            seconds: to wait for those that are not there.
            tell: takes lines for the user.
            stop: ends the wait.

        Raises:
            BagError: none is there after so long, or it was stopped before.
        """
        deadline = time.monotonic() + seconds
        stop.wait(_SETTLE)
        if missing := self.missing():
            tell(f"Waiting up to {seconds:g} s for {', '.join(missing)}.")
            while (missing := self.missing()) and time.monotonic() < deadline:
                if stop.wait(_PATIENCE):
                    raise BagError("stopped before there was anything to record")
            stop.wait(_SETTLE)
        found = self.found()
        if not found:
            raise BagError(self._nothing(missing, seconds))
        if missing:
            tell(f"Recording without {', '.join(missing)}; taken in should it still come.")
        return found

    def _nothing(self, missing: Sequence[str], seconds: float) -> str:
        there = ", ".join(sorted(self._recorder.published())) or "none at all"
        return (
            f"nobody publishes {', '.join(missing)} after {seconds:g} s; topics here: {there}. "
            "Does the robot run with this ROS_DOMAIN_ID, where this machine sees it?"
        )


def of_images(kinds: Mapping[str, str]) -> list[str]:
    """Topics of images among topics and their types."""
    return [topic for topic, kind in kinds.items() if kind in (RAW, COMPRESSED)]
