"""The ear of a recording: subscribes to whatever is published, as its publishers offer it."""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions

from fsb_perception.replay.bags.installed_types import split_name
from fsb_perception.replay.bags.reader import BagError
from fsb_perception.replay.bags.recording import Backlog, Heard
from fsb_perception.ros.qos import keep_last, wants_reliable
from fsb_perception.ros.spinning import spinning

_DEPTH = 20
_LATCHED_DEPTH = 100  # each of many programs may have said one thing long ago, as on /tf_static


class Recorder(Node):
    """Hears topics byte for byte; it publishes nothing and offers no service.

    Args:
        backlog: where messages go.
        tell: takes a line for the user, in the thread that hears.
        context: of ROS.
    """

    def __init__(self, backlog: Backlog, tell: Callable[[str], None], context: Context) -> None:
        super().__init__(
            f"fsb_record_{os.getpid()}",
            context=context,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._backlog = backlog
        self._tell = tell

    def published(self) -> dict[str, str]:
        """Type of every topic that somebody publishes, by name."""
        known = self.get_topic_names_and_types()
        return {topic: kinds[0] for topic, kinds in known if self._publishers_of(topic)}

    def published_by(self, name: str) -> set[str]:
        """Topics of a node, ``/head/camera``, say; none if there is no such node."""
        namespace, _, node = f"/{name.strip('/')}".rpartition("/")
        try:
            found = self.get_publisher_names_and_types_by_node(node, namespace or "/")
        except rclpy.node.NodeNameNonExistentError:
            return set()
        return {topic for topic, _ in found}

    def offered(self, topic: str) -> list[Any]:
        """What each publisher of a topic offers, as ``rosbags.interfaces.Qos``."""
        return [_as_written(info.qos_profile) for info in self._publishers_of(topic)]

    def hear(self, topic: str, kind: str) -> None:
        """Subscribe to a topic, as its publishers offer it.

        Raises:
            BagError: the type is not installed.
        """
        message, qos = message_class(kind), suited(self._publishers_of(topic))
        refused, lost = partial(self._on_refused, topic), partial(self._on_lost, topic)
        for events in (
            SubscriptionEventCallbacks(incompatible_qos=refused, message_lost=lost),
            SubscriptionEventCallbacks(incompatible_qos=refused),
        ):
            # Not every middleware tells of messages that it has lost.
            with contextlib.suppress(UnsupportedEventTypeError):
                self.create_subscription(
                    message, topic, partial(self._on, topic), qos, event_callbacks=events, raw=True
                )
                return

    def _publishers_of(self, topic: str) -> list[Any]:
        own = self.get_name()
        return [i for i in self.get_publishers_info_by_topic(topic) if i.node_name != own]

    def _on(self, topic: str, data: bytes) -> None:
        self._backlog.put(Heard(topic, time.time_ns(), data))

    def _on_lost(self, topic: str, event: Any) -> None:
        self._backlog.lost[topic] += int(event.total_count_change)

    def _on_refused(self, topic: str, _: Any) -> None:
        self._tell(
            f"{topic}: a publisher came that offers less than those before it (best effort, or "
            "nothing kept for late comers) and is not recorded; start again to hear it too"
        )


def message_class(kind: str) -> Any:
    """The class of a message type.

    Raises:
        BagError: its package is not installed.
    """
    package, name = split_name(kind)
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError):
        raise BagError(
            f"{kind} is not known here: source the workspace that has the package {package} "
            "(. install/setup.bash), and start again"
        ) from None


def suited(publishers: Sequence[Any]) -> QoSProfile:
    """What hears all of these publishers: reliable, and what was said before, if all offer it."""
    offered = [info.qos_profile.durability for info in publishers]
    latched = bool(offered) and all(d == DurabilityPolicy.TRANSIENT_LOCAL for d in offered)
    return keep_last(
        _LATCHED_DEPTH if latched else _DEPTH,
        reliable=wants_reliable("auto", publishers),
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _as_written(qos: QoSProfile) -> Any:
    from rosbags import interfaces as written

    def span(duration: Any) -> Any:
        return written.QosTime(*divmod(int(duration.nanoseconds), 1_000_000_000))

    return written.Qos(
        history=written.QosHistory(int(qos.history)),
        depth=int(qos.depth),
        reliability=written.QosReliability(int(qos.reliability)),
        durability=written.QosDurability(int(qos.durability)),
        deadline=span(qos.deadline),
        lifespan=span(qos.lifespan),
        liveliness=written.QosLiveliness(int(qos.liveliness)),
        liveliness_lease_duration=span(qos.liveliness_lease_duration),
        avoid_ros_namespace_conventions=bool(qos.avoid_ros_namespace_conventions),
    )


@contextlib.contextmanager
def listening(backlog: Backlog, tell: Callable[[str], None]) -> Iterator[Recorder]:
    """A recorder that hears in a thread, until the block is left."""
    context = Context()
    # Ctrl-C belongs to the recording, which still has a bag to end.
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        recorder = Recorder(backlog, tell, context)
    except BaseException:
        rclpy.try_shutdown(context=context)
        raise
    with spinning(recorder):
        yield recorder
