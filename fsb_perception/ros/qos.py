"""Quality of service (QoS): one profile a use, and how to follow what publishers offer."""

from __future__ import annotations

from collections.abc import Iterable

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.topic_endpoint_info import TopicEndpointInfo


def keep_last(
    depth: int, *, reliable: bool, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE
) -> QoSProfile:
    """Return a profile that keeps the newest messages.

    Args:
        depth: number of messages kept. It is 1 for images: a queue would make them old.
        reliable: lost messages are sent again; otherwise best effort.
        durability: TRANSIENT_LOCAL keeps the messages for late subscribers as well.
    """
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=durability,
    )


# The messages are small and each one counts: replay waits for the answer to every image.
FACES_QOS = keep_last(5, reliable=True)
DIAGNOSTICS_QOS = keep_last(5, reliable=True)
BUNDLE_INFO_QOS = keep_last(1, reliable=True, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# A reliable publisher serves every subscription: best-effort ones, and reliable ones, which are
# needed where the transport loses fragments of large images.
IMAGE_QOS = keep_last(1, reliable=True)
CLOCK_QOS = keep_last(1, reliable=True)
CAMERA_INFO_QOS = keep_last(1, reliable=False)  # for a subscription: it fits every publisher


def wants_reliable(choice: str, publishers: Iterable[TopicEndpointInfo]) -> bool:
    """Return whether to subscribe reliably.

    A reliable subscription receives nothing from a best-effort publisher. A best-effort one
    receives from both, but loses most large images where the transport must cut them up.

    Args:
        choice: "auto", "reliable" or "best_effort". "auto" is reliable if all publishers are.
        publishers: those of the topic; without any, "auto" is best effort.
    """
    if choice != "auto":
        return choice == "reliable"
    offered = [info.qos_profile.reliability for info in publishers]
    return bool(offered) and all(policy == ReliabilityPolicy.RELIABLE for policy in offered)


def reliability_name(reliable: bool) -> str:
    """Return the reliability as log lines and diagnostics name it."""
    return "reliable" if reliable else "best effort"


def mismatch_text(
    topic: str, reliable: bool, policy_kind: int, publishers: Iterable[TopicEndpointInfo]
) -> str:
    """Return one line about an incompatible publisher: both sides, and what to do.

    Args:
        topic: that no images can come on.
        reliable: this node subscribes reliably.
        policy_kind: the policy that differs, ``last_policy_kind`` of the event.
        publishers: those of the topic.
    """
    offers = ", ".join(
        f"{info.node_namespace.rstrip('/')}/{info.node_name} offers "
        f"{info.qos_profile.reliability.name.lower()}"
        for info in publishers
    )
    policy = qos_policy_name_from_kind(policy_kind).lower()
    return (
        f"no images can come on {topic}: {policy} does not match; this node asks for "
        f"{reliability_name(reliable)}, {offers or 'the publisher has gone'}. "
        "Set image_reliability to auto or best_effort."
    )
