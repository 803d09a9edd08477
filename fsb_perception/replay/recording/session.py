"""A recording from its start to its end.

    publishers --DDS--> Subscriber (its thread) --> Backlog --> RecordedBag (this thread)

The subscriber's thread does nothing else, so that a slow disk costs messages only once the backlog
is full; and then they are counted.
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

from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.bags.storages import MCAP, check_new
from fsb_perception.replay.recording.backlog import Backlog
from fsb_perception.replay.recording.bag import RecordedBag
from fsb_perception.replay.recording.topics import Notify, Subscriber, TopicChoice

_LOOK_EVERY = 0.5  # s, for topics that are not there yet
_GRACE = 3.0  # s that the first message of each topic may take until --seconds are counted
_PATIENCE = 0.1  # s to wait for a message between looks for a reason to stop
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last, when a terminal is closed

Connect = Callable[[Backlog, Notify], contextlib.AbstractContextManager[Subscriber]]
"""Makes a subscriber that works in a thread until its ``with`` block ends."""


@dataclass(frozen=True)
class RecordRequest:
    """The topics of a recording, its place, and its limits.

    Attributes:
        out: folder of the bag.
        topics: by name; if no node is named either, all of images and of `FaceAttributesArray`.
        nodes: recorded with all of their topics.
        storage: a name in `STORAGES`.
        seconds: to record, once there is a message on each topic; None to record until a signal.
        most_bytes: of messages; 0 for no limit.
        wait: seconds for topics that have no publisher yet.

    >>> RecordRequest(Path("kitchen"), ["/front/image"], seconds=60.0).storage
    'mcap'
    """

    out: Path
    topics: Sequence[str] = ()
    nodes: Sequence[str] = ()
    storage: str = MCAP
    seconds: float | None = None
    most_bytes: int = 0
    wait: float = 20.0


@dataclass(frozen=True)
class RecordState:
    """The progress of a recording.

    Attributes:
        kinds: type of every topic that is recorded.
        seconds: since it began.
        messages: number written, by topic.
        bytes: number written, by topic.
        lost: messages by topic, in the middleware or because the disk was too slow.
        ended: the reason; empty while it goes on.
        full: the reason is that the disk takes no more.

    >>> counts = Counter({"/image": 30})
    >>> RecordState({"/image": "sensor_msgs/msg/Image"}, 1.0, counts, counts, Counter()).ended
    ''
    """

    kinds: dict[str, str]
    seconds: float
    messages: Counter[str]
    bytes: Counter[str]
    lost: Counter[str]
    ended: str = ""
    full: bool = False


def record(
    request: RecordRequest, connect: Connect, notify: Notify, show: Callable[[RecordState], None]
) -> RecordState:
    """Record until the time is over, the disk is full, or a signal asks to stop.

    Args:
        request: what to record.
        connect: makes the subscriber.
        notify: takes lines for the user.
        show: takes the state several times a second.

    Raises:
        BagError: nothing can be recorded, or no message came.
        UnknownNameError: no such storage.
    """
    check_new(request.out, request.storage)
    backlog = Backlog()
    with stop_on_signals() as stop, contextlib.ExitStack() as stack:
        with connect(backlog, notify) as subscriber:
            choice = TopicChoice(subscriber, request.topics, request.nodes)
            topics = choice.wait(request.wait, notify, stop)
            bag = stack.enter_context(RecordedBag(request.out, request.storage))
            session = _Session(request, subscriber, choice, backlog, bag, notify)
            session.begin(topics)
            state = session.run(show, stop)
        session.write_rest()
        if not bag.messages:
            topics_text = ", ".join(state.kinds)
            raise BagError(
                f"no message came in {state.seconds:.1f} s on {topics_text}: nothing is written"
            )
    return session.state(state.ended, state.seconds)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C and the like set, however often: a second must not cut the bag."""
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
        request: RecordRequest,
        subscriber: Subscriber,
        choice: TopicChoice,
        backlog: Backlog,
        bag: RecordedBag,
        notify: Notify,
    ) -> None:
        self._request, self._subscriber, self._choice = request, subscriber, choice
        self._backlog, self._bag, self._notify = backlog, bag, notify
        self._kinds: dict[str, str] = {}
        self._refused: set[str] = set()
        self._trouble = ""
        self._begun = self._looked = time.monotonic()
        self._counted_from: float | None = None

    def begin(self, topics: Mapping[str, str]) -> None:
        """Subscribe to the topics that are there; a type that is not installed ends it here."""
        for topic, kind in topics.items():
            self._subscribe(topic, kind)

    def run(self, show: Callable[[RecordState], None], stop: threading.Event) -> RecordState:
        """Write the messages that come, until there is a reason to end."""
        while not (ended := "stopped" if stop.is_set() else self._reason_to_end()):
            message = self._backlog.get(_PATIENCE)
            if message is not None:
                self._trouble = self._bag.write(message)
            self._look_for_topics()
            show(self.state())
        return self.state(ended)

    def write_rest(self) -> None:
        """Write the messages that came before the end, if there is room for them."""
        while not self._trouble and not self._is_big():
            message = self._backlog.get()
            if message is None:
                return
            self._trouble = self._bag.write(message)

    def state(self, ended: str = "", seconds: float | None = None) -> RecordState:
        return RecordState(
            kinds=self._kinds,
            seconds=time.monotonic() - self._begun if seconds is None else seconds,
            messages=self._bag.messages,
            bytes=self._bag.bytes,
            lost=self._backlog.lost,
            ended=self._trouble or ended,
            full=bool(self._trouble),
        )

    def _reason_to_end(self) -> str:
        seconds = self._request.seconds
        if self._trouble:
            return self._trouble
        if seconds is not None and self._counted_seconds() >= seconds:
            return f"{seconds:g} s are over"
        if self._is_big():
            return "the bag has the size that was asked for"
        return ""

    def _is_big(self) -> bool:
        most = self._request.most_bytes
        return bool(most) and self._bag.bytes.total() >= most

    def _counted_seconds(self) -> float:
        """Return the time since every topic has a message: some publishers are discovered late."""
        now = time.monotonic()
        complete = all(self._bag.messages[topic] for topic in self._kinds)
        if self._counted_from is None and (complete or now - self._begun > _GRACE):
            self._counted_from = now
        return 0.0 if self._counted_from is None else now - self._counted_from

    def _look_for_topics(self) -> None:
        """Add topics that have come since; one of an unknown type must not end the others."""
        if time.monotonic() - self._looked < _LOOK_EVERY:
            return
        self._looked = time.monotonic()
        for topic, kind in self._choice.available().items():
            if topic not in self._kinds and topic not in self._refused:
                try:
                    self._subscribe(topic, kind)
                except BagError as error:
                    self._refused.add(topic)
                    self._notify(f"Left out: {error}")

    def _subscribe(self, topic: str, kind: str) -> None:
        try:
            self._bag.add(topic, kind, self._subscriber.offered(topic))
            self._subscriber.subscribe(topic, kind)
        except BagError as error:
            raise BagError(f"{topic}: {error}") from None
        self._kinds[topic] = kind
