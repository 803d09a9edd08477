"""The subscriber of a recording: it takes any type of message, with the QoS of its publishers."""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

import rclpy
from rclpy.context import Context
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from fsb_perception.replay.recording.backlog import Backlog, ReceivedMessage
from fsb_perception.replay.recording.installed_types import not_installed, split_name
from fsb_perception.replay.recording.topics import Notify
from fsb_perception.ros.qos import keep_last, wants_reliable
from fsb_perception.ros.spinning import spinning_alone

if TYPE_CHECKING:
    from rosbags.interfaces import Qos

_DEPTH = 20
_LATCHED_DEPTH = 100  # many programs may each have sent one message long ago, as on /tf_static


class RecordingNode(Node):
    """Receives topics byte for byte; it publishes nothing and offers no service.

    It is the `fsb_perception.replay.recording.topics.Subscriber` of a running robot.

    Args:
        backlog: takes the messages.
        notify: takes a line for the user, in the thread that receives.
        context: of ROS.
    """

    def __init__(self, backlog: Backlog, notify: Notify, context: Context) -> None:
        super().__init__(
            f"fsb_record_{os.getpid()}",
            context=context,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._backlog = backlog
        self._notify = notify

    def published(self) -> dict[str, str]:
        """Return the type of every topic that has a publisher, by name."""
        known = self.get_topic_names_and_types()
        return {topic: kinds[0] for topic, kinds in known if self._publishers_of(topic)}

    def published_by(self, node: str) -> set[str]:
        """Return the topics of a node, for instance ``/head/camera``; none if there is none."""
        namespace, _, name = f"/{node.strip('/')}".rpartition("/")
        try:
            topics = self.get_publisher_names_and_types_by_node(name, namespace or "/")
        except rclpy.node.NodeNameNonExistentError:
            return set()
        return {topic for topic, _ in topics}

    def offered(self, topic: str) -> list[Qos]:
        """Return the quality of service that each publisher of a topic offers."""
        return [_as_written(info.qos_profile) for info in self._publishers_of(topic)]

    def subscribe(self, topic: str, kind: str) -> None:
        """Subscribe to a topic with the QoS that suits all of its publishers.

        Raises:
            BagError: the type is not installed.
        """
        message, qos = message_class(kind), qos_for(self._publishers_of(topic))
        refused, lost = partial(self._on_refused, topic), partial(self._on_lost, topic)
        for events in (
            SubscriptionEventCallbacks(incompatible_qos=refused, message_lost=lost),
            SubscriptionEventCallbacks(incompatible_qos=refused),
        ):
            # Not every middleware reports the messages that it has lost.
            with contextlib.suppress(UnsupportedEventTypeError):
                self.create_subscription(
                    message, topic, partial(self._on, topic), qos, event_callbacks=events, raw=True
                )
                return

    def _publishers_of(self, topic: str) -> list[Any]:
        own = self.get_name()
        return [i for i in self.get_publishers_info_by_topic(topic) if i.node_name != own]

    def _on(self, topic: str, data: bytes) -> None:
        self._backlog.put(ReceivedMessage(topic, time.time_ns(), data))

    def _on_lost(self, topic: str, event: Any) -> None:
        self._backlog.lost[topic] += int(event.total_count_change)

    def _on_refused(self, topic: str, _: Any) -> None:
        self._notify(
            f"{topic}: a new publisher offers less than the earlier ones (best effort, or nothing "
            "kept for late subscribers) and is not recorded; start again to record it too"
        )


def message_class(kind: str) -> Any:
    """Return the class of a message type.

    Raises:
        BagError: its package is not installed.
    """
    package, name = split_name(kind)
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError):
        raise not_installed(kind) from None


def qos_for(publishers: Sequence[Any]) -> QoSProfile:
    """Return the QoS that receives from all publishers: reliable or latched only if all are."""
    offered = [info.qos_profile.durability for info in publishers]
    latched = bool(offered) and all(d == DurabilityPolicy.TRANSIENT_LOCAL for d in offered)
    return keep_last(
        _LATCHED_DEPTH if latched else _DEPTH,
        reliable=wants_reliable("auto", publishers),
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _as_written(qos: QoSProfile) -> Qos:
    from rosbags import interfaces as written

    def span(duration: Any) -> written.QosTime:
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


def subscribing(backlog: Backlog, notify: Notify) -> AbstractContextManager[RecordingNode]:
    """Return a context manager: a subscriber that receives in a thread until the block ends."""
    return spinning_alone(lambda context: RecordingNode(backlog, notify, context))
