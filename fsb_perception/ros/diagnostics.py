"""What the node says of its own health on ``/diagnostics``."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from fsb_perception.ros.camera_input import CameraInput
from fsb_perception.ros.qos import reliability_name
from fsb_perception.ros.worker import Counts

PERIOD = 1.0  # s


@dataclass(frozen=True)
class Health:
    """One camera's state.

    Attributes:
        source: its subscriptions.
        counts: what became of its frames.
        dropped: frames that were not answered.
        rate: answers a second over the last period.
        bad: frames in the last period that were no pictures, or that failed.
    """

    source: CameraInput
    counts: Counts
    dropped: int
    rate: float
    bad: int


def report(
    name: str, stamp: Any, cameras: Mapping[str, Health], facts: Mapping[str, str], stale: float
) -> DiagnosticArray:
    """The message for an active node.

    Args:
        name: of the node.
        stamp: now.
        cameras: by name.
        facts: bundle, device and what else holds for all cameras.
        stale: seconds without an image after which a camera is warned about.
    """
    message = DiagnosticArray()
    message.header.stamp = stamp
    common = {**facts, "memory_mb": f"{psutil.Process().memory_info().rss / 1e6:.0f}"}
    for camera, health in cameras.items():
        level, text = judge(health, stale)
        values = {**common, **_values(health)}
        title = f"{name}: {camera}" if camera else name
        message.status.append(status(level, title, text, values))
    return message


def inactive(name: str, stamp: Any, failure: str) -> DiagnosticArray:
    """The message for a node that does not process images: idling must not go unnoticed.

    Args:
        name: of the node.
        stamp: now.
        failure: why it could not be configured; empty if nobody tried, or it could.
    """
    level = DiagnosticStatus.ERROR if failure else DiagnosticStatus.WARN
    why = "inactive: configure and activate the node to get attributes"
    text = f"cannot configure: {failure}" if failure else why
    message = DiagnosticArray()
    message.header.stamp = stamp
    message.status.append(status(level, name, text, {}))
    return message


def judge(health: Health, stale: float) -> tuple[bytes, str]:
    """Level and text of one camera's state."""
    source = health.source
    if not source.is_open:
        return DiagnosticStatus.OK, "disabled: call ~/enable with true to get attributes"
    silence = time.monotonic() - source.last_arrival
    if source.mismatch:
        return DiagnosticStatus.ERROR, source.mismatch
    if silence > stale:
        publishers = source.publishers
        why = f"{publishers} publisher(s)" if publishers else "nobody publishes it"
        return DiagnosticStatus.WARN, f"no images for {silence:.0f} s on {source.topic}: {why}"
    if health.bad:
        level = DiagnosticStatus.WARN if health.rate else DiagnosticStatus.ERROR
        return level, f"{health.bad} frames in the last second could not be used; see the log"
    return DiagnosticStatus.OK, f"{health.rate:.1f} frames a second"


def _values(health: Health) -> dict[str, str]:
    counts = health.counts
    return {
        "topic": health.source.topic,
        "reliability": reliability_name(health.source.reliable),
        "calibrated": str(health.source.camera_info is not None).lower(),
        "rate_hz": f"{health.rate:.1f}",
        "received": str(health.source.received),
        "answered": str(counts.answered),
        "dropped": str(health.dropped),
        "undecodable": str(counts.undecodable),
        "failed": str(counts.failed),
        "latency_p50_ms": _percentile(counts.latencies, 50),
        "latency_p95_ms": _percentile(counts.latencies, 95),
        "process_p50_ms": _percentile(counts.process_times, 50),
    }


def _percentile(seconds: Iterable[float], share: float) -> str:
    known = list(seconds)
    return f"{1000 * np.percentile(known, share):.1f}" if known else "nan"


def status(level: bytes, name: str, text: str, values: Mapping[str, str]) -> DiagnosticStatus:
    """One entry of the message."""
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=text, values=pairs)
