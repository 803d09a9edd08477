"""Tracking: the faces of single frames become followed faces, by their boxes alone.

The matching is SORT (Bewley et al., ICIP 2016) from the library ``trackers``: a Kalman filter
predicts each box to the time of the new frame, and the assignment of least cost matches predictions
with detections. Two settings fit it to a robot's head at 5 to 60 frames a second: the filter takes
the true time between frames, and the cost is the distance-IoU (Zheng et al., AAAI 2020), which
still separates near from far when a face has jumped away from its prediction.

This file adds the life of a track: when it is trusted, how long it lives unseen, when it has ended.
All times are seconds of the images' own clock, so that a change of frame rate changes nothing.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from fsb_perception.options import Options, option
from fsb_perception.types import Face, Floats, TrackState

if TYPE_CHECKING:
    from trackers import SORTTracker

_log = logging.getLogger(__name__)

_SECOND = 1_000_000_000
_NOMINAL_FPS = 30.0  # the unit of time of the library's filter, not a claim about the camera
_SHORTEST_STEP = 1e-6  # s: a repeated stamp is no step back, but the filter wants one forward
_FAULTS_LOGGED = 10  # then every power of two: a clock that keeps jumping must not fill the log


class TrackerConfig(Options):
    """Limits of following a face from frame to frame.

    >>> TrackerConfig(max_coast=0.5).max_coast
    0.5
    """

    min_similarity: float = option(
        -0.25,
        "smallest distance-IoU between a predicted and a detected box of one face; 0 is about "
        "three quarters of a face width apart, the default a width and a third",
        ge=-1.0,
        le=1.0,
    )
    confirm_time: float = option(
        0.15, "a face is CONFIRMED when it has been seen for so long", unit="s", ge=0.0, le=10.0
    )
    max_coast: float = option(
        1.0, "a confirmed face that is unseen for longer has ENDED", unit="s", ge=0.0, le=30.0
    )
    max_tentative_coast: float = option(
        0.5, "the same for a face that is not confirmed yet", unit="s", ge=0.0, le=30.0
    )
    max_gap: float = option(
        5.0, "a stamp further ahead of the last one clears all tracks", unit="s", ge=0.1, le=3600.0
    )
    max_faces: int = option(32, "at most so many faces are followed at once", ge=1, le=256)


@dataclass(frozen=True, eq=False)
class Track:
    """A followed face in one frame.

    Attributes:
        face_id: prefix and counter; never used again for another track.
        state: see `TrackState`.
        first_seen, last_seen: stamps of its first and newest detection, in nanoseconds.
        face: the detection itself. If the state is COASTED: the predicted box with the newest
            detection's score and no landmarks. If it is ENDED: the newest of these.

    >>> face = Face(np.array([10, 20, 90, 120]), 0.9)
    >>> Track("face_1", TrackState.COASTED, 1, 2, face).in_frame
    False
    """

    face_id: str
    state: TrackState
    first_seen: int
    last_seen: int
    face: Face

    @property
    def in_frame(self) -> bool:
        """True if the face was detected in this frame, not only predicted."""
        return self.state in (TrackState.TENTATIVE, TrackState.CONFIRMED)


class FaceTracker:
    """Follows the faces of one camera.

    Args:
        config: see `TrackerConfig`.
        id_prefix: begins every face_id; lower-case letters, digits and underscores, a letter
            first.

    Raises:
        ValueError: the prefix is of another form.

    >>> tracker = FaceTracker()
    >>> face = Face(np.array([10, 20, 90, 120]), 0.9)
    >>> for milliseconds in (1, 101, 201):
    ...     (track,) = tracker.update([face], milliseconds * 1_000_000)
    >>> track.face_id, track.state.name
    ('face_1', 'CONFIRMED')
    """

    def __init__(self, config: TrackerConfig | None = None, id_prefix: str = "face") -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", id_prefix):
            raise ValueError(f"id_prefix must match [a-z][a-z0-9_]*, got {id_prefix!r}")
        self._config = config or TrackerConfig()
        # Without the underscore, cam1 + 11 and cam11 + 1 would be one id.
        self._prefix = id_prefix if id_prefix.endswith("_") else id_prefix + "_"
        self._matcher = _Matcher(self._config)
        self._tracks: dict[int, Track] = {}
        self._ended: list[Track] = []
        self._stamp: int | None = None
        self._seconds = 0.0
        self._faults = 0
        self._is_full = False  # logged once

    def __len__(self) -> int:
        """Return the number of tracks in memory, ended ones that are not reported yet included."""
        return max(len(self._tracks) + len(self._ended), len(self._matcher))

    def update(self, faces: Sequence[Face], stamp: int) -> list[Track]:
        """Match the faces of the next frame with the followed ones.

        Args:
            faces: of this frame; if there are too many to follow, the first ones count.
            stamp: of this frame, in nanoseconds. One that is zero, goes back, or lies further ahead
                than ``max_gap`` ends all tracks, with a line in the log.

        Returns:
            Every live track, and once more, as ENDED, each that ended since the last call.
        """
        self._check_clock(stamp)
        self._end_unseen(stamp)
        for number, face in self._match(faces).items():
            self._tracks[number] = self._advance(number, face, stamp)
        reports = [*self._tracks.values(), *self._ended]
        self._ended = []
        return reports

    def reset(self) -> None:
        """End all tracks; the next `update` reports them as ENDED."""
        self._end(list(self._tracks))

    def _check_clock(self, stamp: int) -> None:
        last, self._stamp = self._stamp, stamp
        fault = self._clock_fault(last, stamp)
        if last is not None and last <= 0:
            self.reset()  # a track without stamps has no age
        if not fault:
            passed = 0.0 if last is None else (stamp - last) / _SECOND
            self._seconds += max(passed, _SHORTEST_STEP)
            return
        self.reset()
        if stamp <= 0 and last is not None and last <= 0:
            return  # logged already, at the first of these frames
        self._faults += 1
        if self._faults <= _FAULTS_LOGGED or self._faults.bit_count() == 1:
            _log.warning("%s: %s ns after %s ns; all tracks cleared", fault, stamp, last)

    def _clock_fault(self, last: int | None, stamp: int) -> str:
        if stamp <= 0:
            return "the image has no stamp, so faces cannot be followed"
        if last is None or last <= 0:
            return ""
        if stamp < last:
            return "the stamp went back"
        if stamp - last > self._config.max_gap * _SECOND:
            return f"the stamp jumped ahead by more than {self._config.max_gap:g} s"
        return ""

    def _end_unseen(self, stamp: int) -> None:
        unseen = [
            number
            for number, track in self._tracks.items()
            if stamp - track.last_seen > self._patience(track) * _SECOND
        ]
        if unseen:
            self._end(unseen)

    def _patience(self, track: Track) -> float:
        config = self._config
        return config.max_coast if self._is_confirmed(track) else config.max_tentative_coast

    def _is_confirmed(self, track: Track) -> bool:
        return track.last_seen - track.first_seen >= self._config.confirm_time * _SECOND

    def _end(self, numbers: Sequence[int]) -> None:
        ended = [self._tracks.pop(number) for number in numbers]
        self._ended += [replace(track, state=TrackState.ENDED) for track in ended]
        self._matcher.keep(self._tracks)

    def _match(self, faces: Sequence[Face]) -> dict[int, Face | None]:
        """Return the face of each track by number: None if it is unseen, new tracks last."""
        boxes = np.array([face.box_xyxy for face in faces], np.float32).reshape(-1, 4)
        room = max(0, self._config.max_faces - len(self._tracks))
        numbers = self._matcher.match(boxes, self._seconds, room)
        if None in numbers and not self._is_full:
            self._is_full = True
            _log.info(
                "more than %d faces at once; the others are not followed: set tracker.max_faces "
                "higher if they count",
                self._config.max_faces,
            )
        seen = {n: face for n, face in zip(numbers, faces, strict=True) if n is not None}
        return {**dict.fromkeys(self._tracks), **seen}

    def _advance(self, number: int, face: Face | None, stamp: int) -> Track:
        track = self._tracks.get(number)
        if track is None:
            assert face is not None, "a track begins with a detection"
            face_id = f"{self._prefix}{number}"
            track = Track(face_id, TrackState.TENTATIVE, stamp, stamp, face)
        elif face is None:
            predicted = self._predicted(number, track.face)
            return replace(track, state=TrackState.COASTED, face=predicted)
        else:
            track = replace(track, last_seen=stamp, face=face)
        confirmed = stamp > track.first_seen and self._is_confirmed(track)
        return replace(track, state=TrackState.CONFIRMED if confirmed else TrackState.TENTATIVE)

    def _predicted(self, number: int, last: Face) -> Face:
        box = self._matcher.predict(number)
        if box is None or not np.isfinite(box).all() or (box[2:] - box[:2] < 1.0).any():
            box = last.box_xyxy  # the filter has shrunk the face away
        return Face(box, last.score)


class _Matcher:
    """The tracks of the library ``trackers`` by number: each has a Kalman filter for its box."""

    def __init__(self, config: TrackerConfig) -> None:
        # Imported here, since this takes a second that `fsb --help` must not spend.
        from trackers import DIoU, SORTTracker
        from trackers.utils.state_representations import XCYCSRStateEstimator

        self._library: SORTTracker = SORTTracker(
            # `FaceTracker` keeps the exact limits; the library's own must only not be shorter.
            lost_track_buffer=int(30 * (max(config.max_coast, config.max_tentative_coast) + 1)),
            frame_rate=_NOMINAL_FPS,
            minimum_consecutive_frames=1,
            track_activation_threshold=0.0,  # the detector has a threshold already
            minimum_iou_threshold=config.min_similarity,
            iou=DIoU(),
            state_estimator_class=XCYCSRStateEstimator,
        )
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._library.tracks)

    def match(self, boxes: Floats, seconds: float, room: int) -> list[int | None]:
        """Match the boxes of a frame with the tracks, and begin a track for each other box.

        Args:
            boxes: float32 (n, 4), left, top, right, bottom in pixels.
            seconds: time of the frame; later than that of the last one.
            room: number of tracks that may begin.

        Returns:
            The number of each box's track; None if there was no room.
        """
        import supervision

        scores = np.ones(len(boxes), np.float32)
        detections = supervision.Detections(xyxy=boxes, confidence=scores)
        matches = self._library.update(detections, timestamp=seconds).tracker_id
        assert matches is not None, "the library numbers its detections"
        # The library has begun a track for each box without a match (-1), in order of the boxes.
        new = [track for track in self._library.tracks if track.tracker_id < 0][:room]
        for track in new:
            track.tracker_id = next(self._numbers)
        self._library.tracks = [track for track in self._library.tracks if track.tracker_id >= 0]
        begun = iter(track.tracker_id for track in new)
        return [match if match >= 0 else next(begun, None) for match in matches.tolist()]

    def predict(self, number: int) -> Floats | None:
        """Return the box (4,) at the time of the last frame; None if there is no such track."""
        tracks = [track for track in self._library.tracks if track.tracker_id == number]
        return np.asarray(tracks[0].get_state_bbox(), np.float32) if tracks else None

    def keep(self, numbers: Container[int]) -> None:
        """Forget every track but these; the clock may start again if none is left."""
        self._library.tracks = [t for t in self._library.tracks if t.tracker_id in numbers]
        if not self._library.tracks:
            self._library.reset()


def face_id_part(camera: str) -> str:
    """Return a camera's name as it stands in the ids of its faces.

    >>> face_id_part("Head/Front")
    'head_front'
    """
    return camera.lower().replace("/", "_")
