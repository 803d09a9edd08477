"""What a replay left in its folder, by camera, face and time.

Time is seconds since the first stamp. A robot without a battery for its clock starts in 1970 and
leaps to today: what lies half a day from the middle of the stamps has no place in a plot, nor has
what bears no stamp. It is counted instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fsb_perception.replay.outputs import LOAD, RESULTS, SUMMARY, TIMING
from fsb_perception.replay.report.files import Json, read_lines, read_load, read_summary
from fsb_perception.replay.report.lanes import Lane, Stamped, Values
from fsb_perception.types import TrackState

_HALF_A_DAY = 12 * 3600 * 10**9  # ns
_NS = 1e9
_AT_LEAST = 1e-3  # s: an axis of no length cannot be drawn


@dataclass(frozen=True)
class Track:
    """A face followed.

    Attributes:
        face_id: its name.
        states: names of `TrackState`, without ENDED.
        said: labels and confidences, by task.
    """

    face_id: str
    states: Lane
    said: Mapping[str, Lane]


@dataclass(frozen=True)
class Camera:
    """What came of one camera; all times in seconds since the first stamp, ascending.

    Attributes:
        name: may be empty.
        answered, failed, dropped: images, by what became of them.
        unplaced: images whose stamps say nothing.
        process, wait: times, and milliseconds.
        tracks: in the order of their first sight.
        gap: median time between two images, in seconds.
    """

    name: str
    answered: Values
    failed: Values
    dropped: Values
    unplaced: int
    process: tuple[Values, Values]
    wait: tuple[Values, Values]
    tracks: Sequence[Track]
    gap: float


@dataclass(frozen=True)
class Replay:
    """All that the page tells.

    Attributes:
        summary: as in summary.json.
        cameras: in the order of their names.
        labels: of each task that was answered, in its order.
        span: seconds from the first to the last stamp.
        load: times in seconds, and values, by the name of what was measured.
    """

    summary: Json
    cameras: Sequence[Camera]
    labels: Mapping[str, Sequence[str]]
    span: float
    load: Mapping[str, tuple[Values, Values]]


def collect(folder: Path) -> Replay:
    """Read a replay's folder; `BagError` if it holds none, or damaged lines."""
    summary = read_summary(folder / SUMMARY)
    cameras: dict[str, _Camera] = defaultdict(_Camera)
    labels: dict[str, Sequence[str]] = {}
    for row in read_lines(folder / RESULTS):
        cameras[row["camera"]].take(row, labels)
    for row in read_lines(folder / TIMING):
        cameras[row["camera"]].take_timing(row)
    stamps = [s for camera in cameras.values() for s in camera.all_stamps() if s > 0]
    middle = float(np.median(stamps)) if stamps else 0.0
    near = [stamp for stamp in stamps if abs(stamp - middle) <= _HALF_A_DAY] or [0]
    first, last = min(near), max(near)
    return Replay(
        summary=summary,
        cameras=[camera.placed(name, first, last) for name, camera in sorted(cameras.items())],
        labels=labels,
        span=max((last - first) / _NS, _AT_LEAST),
        load=read_load(folder / LOAD) if (folder / LOAD).exists() else {},
    )


@dataclass
class _Camera:
    """A camera as it is read."""

    answered: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    process: Stamped = field(default_factory=Stamped)
    wait: Stamped = field(default_factory=Stamped)
    states: dict[str, Stamped] = field(default_factory=lambda: defaultdict(Stamped))
    said: dict[str, dict[str, Stamped]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Stamped))
    )

    def all_stamps(self) -> list[int]:
        return self.answered + self.failed + self.dropped

    def take(self, row: Json, labels: dict[str, Sequence[str]]) -> None:
        stamp = row["stamp"]
        kinds = (("dropped", self.dropped), ("error", self.failed))
        next((stamps for kind, stamps in kinds if row.get(kind)), self.answered).append(stamp)
        for face in row.get("faces", ()):
            if face["state"] == TrackState.ENDED.name:
                continue
            self.states[face["face_id"]].add(stamp, face["state"])
            for said in face["estimates"]:
                labels.setdefault(said["task"], said["labels"])
                lane = self.said[face["face_id"]][said["task"]]
                lane.add(stamp, said["label"], said["confidence"])

    def take_timing(self, row: Json) -> None:
        for lane, name in ((self.process, "process"), (self.wait, "wait")):
            if row.get(name):  # 0 where there was none
                lane.add(row["stamp"], value=1e3 * row[name])

    def placed(self, name: str, first: int, last: int) -> Camera:
        def seconds(stamps: list[int]) -> Values:
            return Stamped(stamps, [""] * len(stamps), [0.0] * len(stamps)).placed(first, last)[0]

        tracks = [self._track(face_id, first, last) for face_id in self.states]
        tracks = [track for track in tracks if len(track.states.seconds)]
        every = seconds(self.all_stamps())
        steps = np.diff(every)[np.diff(every) > 0]
        process, wait = (lane.placed(first, last) for lane in (self.process, self.wait))
        return Camera(
            name=name,
            answered=seconds(self.answered),
            failed=seconds(self.failed),
            dropped=seconds(self.dropped),
            unplaced=len(self.all_stamps()) - len(every),
            process=(process.seconds, process.values),
            wait=(wait.seconds, wait.values),
            tracks=sorted(tracks, key=lambda track: track.states.seconds[0]),
            gap=float(np.median(steps)) if len(steps) else 0.0,
        )

    def _track(self, face_id: str, first: int, last: int) -> Track:
        said = {task: lane.placed(first, last) for task, lane in self.said[face_id].items()}
        return Track(face_id, self.states[face_id].placed(first, last), said)
