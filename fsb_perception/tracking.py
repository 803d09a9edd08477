"""From the faces of single frames to faces that are followed: who is who, by box alone.

The matching is SORT (Bewley et al., ICIP 2016) from the library ``trackers``: a Kalman filter
predicts each box to the time of the new frame, and the assignment of least cost matches predictions
with detections. Two settings make it fit for a robot's head at 5 to 60 frames a second: the filter
takes the true time between frames, and the cost is the distance-IoU (Zheng et al., AAAI 2020),
which still tells near from far when a face has jumped away from its prediction.

This file adds the life of a track, in seconds of the images' own clock, so that a change of frame
rate changes nothing: when it is trusted, how long it lives unseen, when it has ended.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

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
    """How faces are followed from frame to frame."""

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
        face: the detection itself; where the state is COASTED, the predicted box with the newest
            detection's score and no landmarks; where it is ENDED, the newest of these.
    """

    face_id: str
    state: TrackState
    first_seen: int
    last_seen: int
    face: Face


class FaceTracker:
    """Follows the faces of one camera.

    Args:
        config: see `TrackerConfig`.
        id_prefix: what every face_id begins with; lower-case letters, digits and underscores, a
            letter first.

    Raises:
        ValueError: the prefix is of another form.
    """

    def __init__(self, config: TrackerConfig | None = None, id_prefix: str = "face") -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", id_prefix):
            raise ValueError(f"id_prefix must match [a-z][a-z0-9_]*, got {id_prefix!r}")
        self._config = config or TrackerConfig()
        # Without the underscore, cam1 + 11 and cam11 + 1 would be one id.
        self._prefix = id_prefix if id_prefix.endswith("_") else id_prefix + "_"
        self._matcher = _build_matcher(self._config)
        self._tracks: dict[int, Track] = {}
        self._ended: list[Track] = []
        self._created = 0
        self._stamp: int | None = None
        self._seconds = 0.0
        self._faults = 0

    def update(self, faces: Sequence[Face], stamp: int) -> list[Track]:
        """Match the faces of the next frame with those followed.

        Args:
            faces: of this frame; where there are too many to follow, the first ones count.
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
        for number in list(self._tracks):
            self._end(number)
        self._matcher.reset()

    def _check_clock(self, stamp: int) -> None:
        last, self._stamp = self._stamp, stamp
        fault = self._clock_fault(last, stamp)
        if last is not None and last <= 0:
            self.reset()  # what was seen without a stamp has no age
        if not fault:
            passed = 0.0 if last is None else (stamp - last) / _SECOND
            self._seconds += max(passed, _SHORTEST_STEP)
            return
        self.reset()
        if stamp <= 0 and last is not None and last <= 0:
            return  # said already, at the first of these frames
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
        for number, track in list(self._tracks.items()):
            if stamp - track.last_seen > self._patience(track) * _SECOND:
                self._end(number)

    def _patience(self, track: Track) -> float:
        config = self._config
        return config.max_coast if self._is_confirmed(track) else config.max_tentative_coast

    def _is_confirmed(self, track: Track) -> bool:
        return track.last_seen - track.first_seen >= self._config.confirm_time * _SECOND

    def _end(self, number: int) -> None:
        self._ended.append(replace(self._tracks.pop(number), state=TrackState.ENDED))
        self._matcher.tracks = [t for t in self._matcher.tracks if t.tracker_id != number]

    def _match(self, faces: Sequence[Face]) -> dict[int, Face | None]:
        """The face of each live track by its number; None for a track that is unseen."""
        import supervision

        boxes = np.array([face.box_xyxy for face in faces], np.float32).reshape(-1, 4)
        scores = np.ones(len(faces), np.float32)
        detections = supervision.Detections(xyxy=boxes, confidence=scores)
        # In the order of the faces, -1 for one that matches no track.
        numbers = self._matcher.update(detections, timestamp=self._seconds).tracker_id
        assert numbers is not None, "a tracker numbers its detections"
        pairs = list(zip(numbers.tolist(), faces, strict=True))
        seen = {number: face for number, face in pairs if number >= 0}
        begun = self._begin([face for number, face in pairs if number < 0])
        return {**dict.fromkeys(self._tracks), **seen, **begun}

    def _begin(self, faces: Sequence[Face]) -> dict[int, Face]:
        """Number the tracks that the library has just begun, as far as there is room."""
        begun = [track for track in self._matcher.tracks if track.tracker_id < 0]
        room = max(0, self._config.max_faces - len(self._tracks))
        numbered: dict[int, Face] = {}
        for track, face in zip(begun[:room], faces, strict=False):
            self._created += 1
            track.tracker_id = self._created
            numbered[self._created] = face
        self._matcher.tracks = [track for track in self._matcher.tracks if track.tracker_id >= 0]
        return numbered

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
        boxes = [t.get_state_bbox() for t in self._matcher.tracks if t.tracker_id == number]
        box: Floats = np.asarray(boxes[0] if boxes else last.box_xyxy, np.float32)
        if not np.isfinite(box).all() or (box[2:] - box[:2] < 1.0).any():
            box = last.box_xyxy  # a shrinking face has been predicted away
        return Face(box, last.score)


def face_id_part(camera: str) -> str:
    """A camera's name as it stands in its faces' ids.

    >>> face_id_part("Head/Front")
    'head_front'
    """
    return camera.lower().replace("/", "_")


def _build_matcher(config: TrackerConfig) -> SORTTracker:
    # Here, not at the top: a second of imports that `fsb --help` can do without.
    from trackers import DIoU, SORTTracker
    from trackers.utils.state_representations import XCYCSRStateEstimator

    settings: dict[str, Any] = {
        # The limits are kept above, exactly; the library's own must only not be shorter.
        "lost_track_buffer": int(30 * (max(config.max_coast, config.max_tentative_coast) + 1)),
        "frame_rate": _NOMINAL_FPS,
        "minimum_consecutive_frames": 1,
        "track_activation_threshold": 0.0,  # the detector has chosen already
        "minimum_iou_threshold": config.min_similarity,
    }
    return SORTTracker(iou=DIoU(), state_estimator_class=XCYCSRStateEstimator, **settings)
