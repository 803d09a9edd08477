"""Quality of service: what the node offers and asks for, and how to read what others offer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
)

# Attributes are small and each frame's matter: replay waits for them.
FACES_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE
)
# Whoever comes late is told at once which bundle speaks.
LATCHED_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def image_qos(reliable: bool) -> QoSProfile:
    """What an image subscription asks for: the newest one alone, for a queue would make it old."""
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=reliability)


def wants_reliable(choice: str, publishers: Iterable[Any]) -> bool:
    """Whether to subscribe reliably.

    A reliable subscription hears no best-effort publisher at all; a best-effort one hears both, but
    loses most large images where the transport must cut them up.

    Args:
        choice: "auto", "reliable" or "best_effort"; auto is reliable when every publisher is.
        publishers: endpoint infos of the topic; with none, auto is best effort.
    """
    if choice != "auto":
        return choice == "reliable"
    offered = [info.qos_profile.reliability for info in publishers]
    return bool(offered) and all(policy == ReliabilityPolicy.RELIABLE for policy in offered)


def mismatch_text(topic: str, reliable: bool, event: Any, publishers: Iterable[Any]) -> str:
    """One line about an incompatible publisher that names both sides and what to do."""
    offers = ", ".join(
        f"{info.node_namespace.rstrip('/')}/{info.node_name} offers "
        f"{info.qos_profile.reliability.name.lower()}"
        for info in publishers
    )
    asked = "reliable" if reliable else "best effort"
    policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
    return (
        f"no images can come on {topic}: {policy} does not match; this node asks for {asked}, "
        f"{offers or 'the publisher has gone'}. Set image_reliability to auto or best_effort."
    )
