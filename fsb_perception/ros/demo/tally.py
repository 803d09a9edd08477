"""What a listener has heard from the node: counts, latency, and the faces it was told of.

Nothing here knows ROS; arrays are read by their field names.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fsb_perception.ros.messages import faces_of, to_nanoseconds
from fsb_perception.types import UNKNOWN, AttributeEstimate, FaceAttributes, TrackState

_LATENCIES_KEPT = 18_000  # ten minutes at 30 frames a second
_FACES_KEPT = 256
_RATE_SPAN = 90  # frames over which the rate is taken


@dataclass(frozen=True)
class Summary:
    """The state of a run.

    Attributes:
        processed: frames the node answered since it became active.
        dropped: frames that reached the node but gave way to newer ones.
        rate: answers a second, lately; NaN before the second one.
        p50: median of the latency in ms, from the image's stamp to the arrival of its answer.
        p95: its 95th percentile in ms.
        bundle_id: of the weights.
        faces: of the newest frame.
        seen: the last word on every confirmed face of the run, by face_id and task.
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
        """As ``demo.json`` holds it; a latency that was never measured is null."""
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
                        task: {"label": word.label, "confidence": round(word.confidence, 4)}
                        for task, word in words.items()
                    },
                }
                for face_id, words in self.seen.items()
            ],
            "bundle_id": self.bundle_id,
        }

    def write(self, path: Path) -> None:
        """Write ``demo.json``."""
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")


class Tally:
    """Adds up ``FaceAttributesArray`` messages; memory stays bounded however long the run is."""

    def __init__(self) -> None:
        self._latencies: deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._arrivals: deque[int] = deque(maxlen=_RATE_SPAN)
        self._seen: OrderedDict[str, dict[str, AttributeEstimate]] = OrderedDict()
        self._faces: tuple[FaceAttributes, ...] = ()
        self._processed = self._dropped = 0
        self._bundle_id = ""

    def add(self, array: Any, arrival: int) -> None:
        """Count one message that arrived at ``arrival``, in ns of the clock of the image stamps."""
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
        words = self._seen.setdefault(face.face_id, {})
        for estimate in face.estimates:
            # A face that turns away becomes unknown again; what was known of it stays.
            if estimate.label != UNKNOWN or estimate.task not in words:
                words[estimate.task] = estimate
        if len(self._seen) > _FACES_KEPT:
            self._seen.popitem(last=False)

    @property
    def processed(self) -> int:
        """Frames answered so far."""
        return self._processed

    def summary(self) -> Summary:
        """The state of the run now."""
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
            seen={face_id: dict(words) for face_id, words in self._seen.items()},
        )

    def _rate(self) -> float:
        if len(self._arrivals) < 2:
            return math.nan
        return (len(self._arrivals) - 1) * 1e9 / max(self._arrivals[-1] - self._arrivals[0], 1)


def _rounded(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None
