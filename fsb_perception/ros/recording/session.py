"""Topics of a running robot, written to a bag.

    publishers --DDS--> Recorder (its thread) --> Backlog --> Recording (this thread)

The thread that hears does nothing else, so that a slow disk costs messages only once the backlog is
full; and then they are counted.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsb_perception.replay.bags.reader import BagError
from fsb_perception.replay.bags.recording import Backlog, Recording, refuse
from fsb_perception.ros.recording.node import Recorder, listening
from fsb_perception.ros.recording.topics import Choice

_LOOK_EVERY = 0.5  # s, for topics that are not there yet
_GRACE = 3.0  # s that the first message of each topic may take until --seconds are counted
_PATIENCE = 0.1  # s to wait for a message before it is asked again whether to stop
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last, when a terminal is closed

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """What to record.

    Attributes:
        out: folder of the bag.
        topics: by name; with no node either, all of images and of `FaceAttributesArray`.
        nodes: all of whose topics are recorded.
        storage: mcap or sqlite3.
        seconds: to record, once there is a message on each topic; None until it is asked to stop.
        most_bytes: of messages; 0 for no limit.
        wait: seconds for topics that nobody publishes yet.
    """

    out: Path
    topics: Sequence[str] = ()
    nodes: Sequence[str] = ()
    storage: str = "mcap"
    seconds: float | None = None
    most_bytes: int = 0
    wait: float = 20.0


@dataclass(frozen=True)
class State:
    """What a recording has come to.

    Attributes:
        kinds: type of every topic that is recorded.
        seconds: since it began.
        messages: written, by topic.
        bytes: likewise.
        lost: messages, by topic: on the way here, or because the disk was too slow.
        ended: why; empty while it goes on.
        full: that was the disk.
    """

    kinds: dict[str, str]
    seconds: float
    messages: Counter[str]
    bytes: Counter[str]
    lost: Counter[str]
    ended: str = ""
    full: bool = False


def record(wish: Wish, tell: Tell, show: Callable[[State], None]) -> State:
    """Record until the time is over, the disk full, or a signal asks to stop.

    Args:
        wish: what to record.
        tell: takes lines for the user.
        show: is called several times a second.

    Raises:
        BagError: nothing can be recorded, or nothing came.
    """
    refuse(wish.out, wish.storage)
    backlog = Backlog()
    with asked_to_stop() as stop, contextlib.ExitStack() as stack:
        with listening(backlog, tell) as recorder:
            choice = Choice(recorder, wish.topics, wish.nodes)
            topics = choice.wait(wish.wait, tell, stop)
            bag = stack.enter_context(Recording(wish.out, wish.storage))
            session = _Session(wish, recorder, choice, backlog, bag, tell)
            session.begin(topics)
            state = session.run(show, stop)
        session.write_rest()
        if not bag.messages:
            heard = ", ".join(state.kinds)
            raise BagError(f"no message came in {state.seconds:.1f} s on {heard}: nothing written")
    return session.state(state.ended, state.seconds)


@contextlib.contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """Set by Ctrl-C and the like, however often: a bag must not be cut by the second."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Session:
    def __init__(
        self,
        wish: Wish,
        recorder: Recorder,
        choice: Choice,
        backlog: Backlog,
        bag: Recording,
        tell: Tell,
    ) -> None:
        self._wish, self._recorder, self._choice = wish, recorder, choice
        self._backlog, self._bag, self._tell = backlog, bag, tell
        self._kinds: dict[str, str] = {}
        self._refused: set[str] = set()
        self._trouble = ""
        self._begun = self._looked = time.monotonic()
        self._counted_from: float | None = None

    def begin(self, topics: Mapping[str, str]) -> None:
        """Take in the topics that are there; a type that is not installed ends it here."""
        for topic, kind in topics.items():
            self._take_in(topic, kind)

    def run(self, show: Callable[[State], None], stop: threading.Event) -> State:
        """Write what comes, until something ends it."""
        while not (ended := "stopped" if stop.is_set() else self._ended()):
            message = self._backlog.get(_PATIENCE)
            if message is not None:
                self._trouble = self._bag.write(message)
            self._look()
            show(self.state())
        return self.state(ended)

    def write_rest(self) -> None:
        """Write what was heard before the end, if there is room for it."""
        while (
            not self._trouble
            and not self._is_big()
            and (message := self._backlog.get()) is not None
        ):
            self._trouble = self._bag.write(message)

    def state(self, ended: str = "", seconds: float | None = None) -> State:
        """What there is now."""
        took = time.monotonic() - self._begun if seconds is None else seconds
        bag, lost, trouble = self._bag, self._backlog.lost, self._trouble
        return State(
            self._kinds, took, bag.messages, bag.bytes, lost, trouble or ended, bool(trouble)
        )

    def _ended(self) -> str:
        wish = self._wish
        if self._trouble:
            return self._trouble
        if wish.seconds is not None and self._counted() >= wish.seconds:
            return f"{wish.seconds:g} s are over"
        if self._is_big():
            return "the bag has the size that was asked for"
        return ""

    def _is_big(self) -> bool:
        most = self._wish.most_bytes
        return bool(most) and sum(self._bag.bytes.values()) >= most

    def _counted(self) -> float:
        """Seconds since every topic is heard: discovery takes its time with some publishers."""
        now = time.monotonic()
        heard = all(self._bag.messages[topic] for topic in self._kinds)
        if self._counted_from is None and (heard or now - self._begun > _GRACE):
            self._counted_from = now
        return 0.0 if self._counted_from is None else now - self._counted_from

    def _look(self) -> None:
        """Take in topics that have come since; one of an unknown type must not end the others."""
        if time.monotonic() - self._looked < _LOOK_EVERY:
            return
        self._looked = time.monotonic()
        for topic, kind in self._choice.found().items():
            if topic not in self._kinds and topic not in self._refused:
                try:
                    self._take_in(topic, kind)
                except BagError as error:
                    self._refused.add(topic)
                    self._tell(f"Left out: {error}")

    def _take_in(self, topic: str, kind: str) -> None:
        try:
            self._bag.add(topic, kind, self._recorder.offered(topic))
            self._recorder.hear(topic, kind)
        except BagError as error:
            raise BagError(f"{topic}: {error}") from None
        self._kinds[topic] = kind
