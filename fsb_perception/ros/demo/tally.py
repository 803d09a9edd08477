"""Counts, latency and faces of a run of the demo, added up from the node's answers."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fsb_perception.files import write_whole
from fsb_perception.msg import FaceAttributesArray
from fsb_perception.ros.messages import faces_of, to_nanoseconds
from fsb_perception.types import UNKNOWN, AttributeEstimate, FaceAttributes, TrackState

_LATENCIES_KEPT = 18_000  # ten minutes at 30 frames a second
_FACES_KEPT = 256
_RATE_FRAMES = 90  # frames over which the rate is taken


@dataclass(frozen=True)
class Summary:
    """The state of a run.

    Attributes:
        processed: frames that the node has answered since it became active.
        dropped: frames that reached the node and were replaced by newer ones.
        rate: answers a second over the newest frames; NaN before the second one.
        p50: median of the latency in ms, from the stamp of an image to the arrival of its answer.
        p95: its 95th percentile in ms.
        bundle_id: of the weights.
        faces: of the newest frame.
        seen: last known estimate of every confirmed face of the run, by face_id and task.
    """

    processed: int
    dropped: int
    rate: float
    p50: float
    p95: float
    bundle_id: str
    faces: tuple[FaceAttributes, ...]
    seen: dict[str, dict[str, AttributeEstimate]]

    @property
    def received(self) -> int:
        """Frames that reached the node."""
        return self.processed + self.dropped

    def to_json(self) -> dict[str, Any]:
        """Return the content of the report; a latency that was not measured is null."""
        return {
            "frames": {
                "received": self.received,
                "processed": self.processed,
                "dropped": self.dropped,
            },
            "latency_ms": {"p50": _rounded(self.p50), "p95": _rounded(self.p95)},
            "faces": [
                {
                    "face_id": face_id,
                    "estimates": {
                        task: {"label": estimate.label, "confidence": round(estimate.confidence, 4)}
                        for task, estimate in estimates.items()
                    },
                }
                for face_id, estimates in self.seen.items()
            ],
            "bundle_id": self.bundle_id,
        }

    def write(self, path: Path) -> None:
        """Write the report.

        Raises:
            FileError: the file cannot be written.
        """
        write_whole(path, json.dumps(self.to_json(), indent=2) + "\n")


class Tally:
    """Adds up answers; its memory stays bounded in a run of any length."""

    def __init__(self) -> None:
        self._latencies: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._arrivals: deque[int] = deque(maxlen=_RATE_FRAMES)
        self._seen: OrderedDict[str, dict[str, AttributeEstimate]] = OrderedDict()
        self._faces: tuple[FaceAttributes, ...] = ()
        self._processed = self._dropped = 0
        self._bundle_id = ""

    def add(self, array: FaceAttributesArray, arrival: int) -> None:
        """Add an answer that arrived at ``arrival``, in ns of the clock of the image stamps."""
        self._latencies.append((arrival - to_nanoseconds(array.header.stamp)) / 1e6)
        self._arrivals.append(arrival)
        self._processed, self._dropped = int(array.sequence), int(array.dropped)
        self._bundle_id = array.bundle_id
        self._faces = tuple(faces_of(array))
        for face in self._faces:
            self._remember(face)

    def _remember(self, face: FaceAttributes) -> None:
        if face.state == TrackState.TENTATIVE:
            return
        estimates = self._seen.setdefault(face.face_id, {})
        for estimate in face.estimates:
            # A face that turns away becomes unknown again; its last known label stays.
            if estimate.label != UNKNOWN or estimate.task not in estimates:
                estimates[estimate.task] = estimate
        if len(self._seen) > _FACES_KEPT:
            self._seen.popitem(last=False)

    @property
    def processed(self) -> int:
        """Frames answered so far."""
        return self._processed

    def summary(self) -> Summary:
        """Return the present state of the run."""
        latencies = np.array(self._latencies or [math.nan])
        p50, p95 = (float(value) for value in np.percentile(latencies, (50, 95)))
        return Summary(
            processed=self._processed,
            dropped=self._dropped,
            rate=self._rate(),
            p50=p50,
            p95=p95,
            bundle_id=self._bundle_id,
            faces=self._faces,
            seen={face_id: dict(estimates) for face_id, estimates in self._seen.items()},
        )

    def _rate(self) -> float:
        if len(self._arrivals) < 2:
            return math.nan
        return (len(self._arrivals) - 1) * 1e9 / max(self._arrivals[-1] - self._arrivals[0], 1)


def _rounded(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None
