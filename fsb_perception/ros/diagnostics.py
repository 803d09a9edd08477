"""The health of the node, as a `DiagnosticArray` on ``/diagnostics`` once a second."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import psutil
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from fsb_perception.ros.camera_input import CameraInput, is_calibration
from fsb_perception.ros.qos import reliability_name
from fsb_perception.ros.worker import Counts

PERIOD = 1.0  # s


@dataclass(frozen=True)
class Health:
    """The state of one camera.

    Attributes:
        source: its subscriptions.
        counts: counts and times of its frames.
        dropped: frames without an answer.
        rate: answers a second over the last period.
        bad: frames of the last period that could not be decoded or processed.
    """

    source: CameraInput
    counts: Counts
    dropped: int
    rate: float
    bad: int


def report(
    name: str,
    stamp: Time,
    cameras: Mapping[str, Health],
    facts: Mapping[str, str],
    stale: float,
    rival: str = "",
) -> DiagnosticArray:
    """Return the message of an active node, with one status a camera.

    Args:
        name: of the node.
        stamp: time of the report.
        cameras: their state by name.
        facts: values that are the same for all cameras, such as bundle and device.
        stale: seconds without an image after which the status is a warning.
        rival: one line about another node of this name or topic; a warning if it is not empty.
    """
    message = DiagnosticArray()
    message.header.stamp = stamp
    common = {**facts, "memory_mb": f"{psutil.Process().memory_info().rss / 1e6:.0f}"}
    for camera, health in cameras.items():
        level, text = judge(health, stale)
        if rival:
            level, text = max(level, DiagnosticStatus.WARN), f"{text}; {rival}"
        values = {**common, **_values(health)}
        title = f"{name}: {camera}" if camera else name
        message.status.append(_status(level, title, text, values))
    return message


def inactive(name: str, stamp: Time, failure: str, rival: str = "") -> DiagnosticArray:
    """Return the message of a node that processes no images, so that users notice it.

    Args:
        name: of the node.
        stamp: time of the report.
        failure: why the last configuration failed; empty if it did not.
        rival: one line about another node of this name or topic; empty without one.
    """
    if failure:
        level, text = DiagnosticStatus.ERROR, f"cannot configure: {failure}"
    else:
        level = DiagnosticStatus.WARN
        text = "inactive: configure and activate the node to get attributes"
    text = f"{text}; {rival}" if rival else text
    message = DiagnosticArray()
    message.header.stamp = stamp
    message.status.append(_status(level, name, text, {}))
    return message


def judge(health: Health, stale: float) -> tuple[bytes, str]:
    """Return level and text of the status of a camera; see `report` for ``stale``."""
    source = health.source
    if not source.is_open:
        return DiagnosticStatus.OK, "disabled: call ~/enable with true to get attributes"
    silence = time.monotonic() - source.last_arrival
    if source.mismatch:
        return DiagnosticStatus.ERROR, source.mismatch
    if silence > stale:
        count = len(source.publishers)
        reason = f"{count} publisher(s)" if count else "it has no publisher"
        return DiagnosticStatus.WARN, f"no images for {silence:.0f} s on {source.topic}: {reason}"
    if health.bad and health.counts.fault:
        return DiagnosticStatus.ERROR, health.counts.fault
    if health.bad:
        level = DiagnosticStatus.WARN if health.rate else DiagnosticStatus.ERROR
        return level, f"{health.bad} frames in the last second could not be used; see the log"
    return DiagnosticStatus.OK, f"{health.rate:.1f} frames a second"


def _values(health: Health) -> dict[str, str]:
    counts = health.counts
    return {
        "topic": health.source.topic,
        "reliability": reliability_name(health.source.reliable),
        "calibrated": str(is_calibration(health.source.camera_info)).lower(),
        "rate_hz": f"{health.rate:.1f}",
        "received": str(health.source.received),
        "answered": str(counts.answered),
        "dropped": str(health.dropped),
        "undecodable": str(counts.undecodable),
        "failed": str(counts.failed),
        "late": str(counts.late),
        "image_publishers": str(len(health.source.publishers)),
        "latency_p50_ms": _percentile(counts.latencies, 50),
        "latency_p95_ms": _percentile(counts.latencies, 95),
        "process_p50_ms": _percentile(counts.process_times, 50),
    }


def _percentile(seconds: Iterable[float], share: float) -> str:
    known = list(seconds)
    return f"{1000 * np.percentile(known, share):.1f}" if known else "nan"


def _status(level: bytes, name: str, text: str, values: Mapping[str, str]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=text, values=pairs)
