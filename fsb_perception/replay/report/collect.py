"""The content of a replay's folder, arranged by camera, face and time.

Times are seconds since the first stamp. A robot without a battery for its clock starts in 1970 and
leaps to the present. Images without a stamp, and images half a day or more from the median stamp,
have no place in a plot over time: they are counted instead.
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
_SHORTEST_SPAN = 1e-3  # s: an axis of no length cannot be drawn


@dataclass(frozen=True)
class Track:
    """One face that was followed.

    Attributes:
        face_id: identifier of the face.
        states: names of `TrackState` over time, without ENDED.
        answers: labels and confidences over time, by task.

    >>> states = Stamped([2_000_000_000], ["CONFIRMED"], [1.0]).placed(0, 4_000_000_000)
    >>> Track("face_1", states, answers={}).states.seconds
    array([2.])
    """

    face_id: str
    states: Lane
    answers: Mapping[str, Lane]


@dataclass(frozen=True)
class Camera:
    """All images of one camera. Times are seconds since the first stamp, ascending.

    Attributes:
        name: name of the camera; may be empty.
        answered: times of the images that got an answer.
        failed: times of the images that could not be read.
        dropped: times of the images without an answer.
        unplaced: number of images without a usable stamp.
        process: times, and milliseconds from pixels to the answer.
        wait: times, and milliseconds from publishing to the answer.
        tracks: the faces followed, by the time of their first image.
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
    """One replay.

    Attributes:
        summary: content of summary.json.
        cameras: in the order of their names.
        labels: labels of each answered task, in the task's order.
        span: seconds from the first to the last stamp.
        load: times in seconds and values, by name of the measure.
    """

    summary: Json
    cameras: Sequence[Camera]
    labels: Mapping[str, Sequence[str]]
    span: float
    load: Mapping[str, tuple[Values, Values]]


def collect(folder: Path) -> Replay:
    """Read a replay's folder.

    Raises:
        BagError: the folder holds no whole replay, or damaged lines.
    """
    summary = read_summary(folder / SUMMARY)
    cameras: dict[str, _CameraRows] = defaultdict(_CameraRows)
    labels: dict[str, Sequence[str]] = {}
    for row in read_lines(folder / RESULTS):
        cameras[row["camera"]].add_result(row, labels)
    for row in read_lines(folder / TIMING):
        cameras[row["camera"]].add_timing(row)
    stamps = [s for camera in cameras.values() for s in camera.all_stamps() if s > 0]
    middle = float(np.median(stamps)) if stamps else 0.0
    near = [stamp for stamp in stamps if abs(stamp - middle) <= _HALF_A_DAY] or [0]
    first, last = min(near), max(near)
    return Replay(
        summary=summary,
        cameras=[camera.placed(name, first, last) for name, camera in sorted(cameras.items())],
        labels=labels,
        span=max((last - first) / _NS, _SHORTEST_SPAN),
        load=read_load(folder / LOAD) if (folder / LOAD).exists() else {},
    )


@dataclass
class _CameraRows:
    """The rows of one camera while the files are read; stamps in nanoseconds."""

    answered: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    process: Stamped = field(default_factory=Stamped)
    wait: Stamped = field(default_factory=Stamped)
    states: dict[str, Stamped] = field(default_factory=lambda: defaultdict(Stamped))
    answers: dict[str, dict[str, Stamped]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Stamped))
    )

    def all_stamps(self) -> list[int]:
        return self.answered + self.failed + self.dropped

    def add_result(self, row: Json, labels: dict[str, Sequence[str]]) -> None:
        stamp = row["stamp"]
        kinds = (("dropped", self.dropped), ("error", self.failed))
        next((stamps for kind, stamps in kinds if row.get(kind)), self.answered).append(stamp)
        for face in row.get("faces", ()):
            if face["state"] == TrackState.ENDED.name:
                continue
            self.states[face["face_id"]].add(stamp, face["state"])
            for answer in face["estimates"]:
                labels.setdefault(answer["task"], answer["labels"])
                lane = self.answers[face["face_id"]][answer["task"]]
                lane.add(stamp, answer["label"], answer["confidence"])

    def add_timing(self, row: Json) -> None:
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
        lanes = self.answers[face_id].items()
        answers = {task: lane.placed(first, last) for task, lane in lanes}
        return Track(face_id, self.states[face_id].placed(first, last), answers)
