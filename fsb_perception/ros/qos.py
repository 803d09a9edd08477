"""The quality of service of every topic, and how an image subscription fits its publishers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT

FACES = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=RELIABLE)
DIAGNOSTICS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=RELIABLE)
DEBUG_IMAGE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=RELIABLE)
# Also who comes late learns which bundle is in use.
BUNDLE_INFO = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def image(reliability: ReliabilityPolicy) -> QoSProfile:
    """For images: depth 1, as every frame that waits makes the answer older."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=reliability)


def fitting_reliability(publishers: Sequence[Any], wish: str) -> ReliabilityPolicy:
    """The reliability with which to subscribe.

    Args:
        publishers: what ``get_publishers_info_by_topic`` says.
        wish: ``reliable``, ``best_effort``, or ``auto``: reliable where every publisher offers it,
            since fragments of a large image are lost otherwise; best effort where one does not, or
            where there is none yet, since that suits whatever comes.
    """
    if wish != "auto":
        return RELIABLE if wish == "reliable" else BEST_EFFORT
    offered = [publisher.qos_profile.reliability for publisher in publishers]
    return RELIABLE if offered and set(offered) == {RELIABLE} else BEST_EFFORT


def mismatch(publisher: Any, requested: QoSProfile) -> str:
    """What the publisher does not offer of what is requested; empty if they fit."""
    offered = publisher.qos_profile
    faults = []
    if requested.reliability == RELIABLE and offered.reliability == BEST_EFFORT:
        faults.append("offers best effort, this node requests reliable")
    volatile = offered.durability == DurabilityPolicy.VOLATILE
    if requested.durability == DurabilityPolicy.TRANSIENT_LOCAL and volatile:
        faults.append("offers volatile, this node requests transient local")
    name = "/".join(["", *filter(None, (publisher.node_namespace.strip("/"), publisher.node_name))])
    return f"{name} {' and '.join(faults)}" if faults else ""
