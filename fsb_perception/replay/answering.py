"""A way to have the images of a bag answered: in this process, or by a running node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fsb_perception.problems import Problems
from fsb_perception.replay.bags.reader import Bag
from fsb_perception.replay.bags.topics import ImageTopic
from fsb_perception.replay.rows import Row

Answered = Iterator[tuple[Row, "Timing"]]


class Answering(Protocol):
    """A way to have images answered.

    Attributes:
        mode: its name, as in summary.json.
        bundle_id: of the bundle that answers.
        tasks: names of what it estimates.
        facts: what else there is to say of the last recording, for summary.json.
        pid: of the process that answers; None while there is none.
    """

    mode: str
    bundle_id: str
    tasks: Sequence[str]
    facts: dict[str, Any]
    pid: int | None

    def answers(self, bag: Bag, topics: Sequence[ImageTopic]) -> Answered:
        """What is believed after each image, in the order of recording.

        Args:
            bag: see `Bag`; what is wrong goes to its problems.
            topics: of it, one of each camera.

        Raises:
            BagError: nothing can be answered any more.
        """


@dataclass(frozen=True)
class Timing:
    """How long a frame took, in seconds of the steady clock.

    Attributes:
        camera: whose.
        stamp: of the image, in nanoseconds.
        decode: from the message to pixels; 0 where the node did it.
        process: from pixels to the answer, waiting left out; in the node, from the message.
        wait: from publishing the image to hearing the answer; 0 without a running node.
    """

    camera: str
    stamp: int
    decode: float
    process: float
    wait: float = 0.0


class Clock:
    """Looks at the stamps of each camera for what no camera should do."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._last: dict[str, int] = {}

    def see(self, camera: str, stamp: int) -> None:
        """Note a stamp that is zero, repeated, or earlier than the one before."""
        last = self._last.get(camera)
        self._last[camera] = stamp
        where = f"{camera or 'the camera'} at {stamp} ns"
        if stamp <= 0:
            self._problems.note("image without a stamp", where)
        elif last is not None and 0 < stamp < last:
            self._problems.note("stamp goes back", f"{where} after {last} ns")
        elif last == stamp:
            self._problems.note("stamp is repeated", where)
