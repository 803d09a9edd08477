"""The interface of what answers the images of a bag: this process, or a running node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fsb_perception.problems import Problems
from fsb_perception.replay.bags.reader import Bag
from fsb_perception.replay.bags.topics import ImageTopic
from fsb_perception.replay.rows import Row
from fsb_perception.replay.summary import Play

Answered = Iterator[tuple[Row, "Timing"]]
"""A row and its timing for each image, in the order of recording."""


class Answering(Protocol):
    """A source of answers to images.

    Attributes:
        mode: name in summary.json.
        bundle_id: id of the bundle that answers.
        tasks: names of the tasks that are estimated.
        play: outcome of playing the last recording in real time; None in other modes.
        pid: id of the answering process; None while there is none.
    """

    mode: str
    bundle_id: str
    tasks: Sequence[str]
    play: Play | None
    pid: int | None

    def answers(self, bag: Bag, topics: Sequence[ImageTopic]) -> Answered:
        """Yield the faces after each image, in the order of recording.

        Args:
            bag: recording; faults of it are added to its problems.
            topics: topics of the bag, one for each camera.

        Raises:
            BagError: no further image can be answered.
        """


@dataclass(frozen=True)
class Timing:
    """Time for one image, in seconds of the steady clock.

    Attributes:
        camera: name of the camera.
        stamp: stamp of the image, in nanoseconds.
        decode: from the message to pixels; 0 where the node did it.
        process: from pixels to the answer, without waiting; in the node, from the message.
        wait: from publishing the image to receiving the answer; 0 without a running node.
    """

    camera: str
    stamp: int
    decode: float
    process: float
    wait: float = 0.0


class Clock:
    """A check of each camera's stamps.

    >>> problems = Problems()
    >>> clock = Clock(problems)
    >>> clock.check("front", 12)
    >>> clock.check("front", 12)
    >>> dict(problems)
    {'stamp is repeated': 1}
    """

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._last: dict[str, int] = {}

    def check(self, camera: str, stamp: int) -> None:
        """Note a stamp (ns) that is zero, repeated, or earlier than the one before."""
        last = self._last.get(camera)
        self._last[camera] = stamp
        place = f"{camera or 'the camera'} at {stamp} ns"
        if stamp <= 0:
            self._problems.note("image without a stamp", place)
        elif last is not None and 0 < stamp < last:
            self._problems.note("stamp goes back", f"{place} after {last} ns")
        elif last == stamp:
            self._problems.note("stamp is repeated", place)
