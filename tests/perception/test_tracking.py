from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsb_perception.tracking import FaceTracker, Track, TrackerConfig
from fsb_perception.types import Face, TrackState
from tests.builders import SECOND, START, face, stamps

Scene = Callable[[float], list[tuple[float, float, float]]]


def _crossing(t: float) -> list[tuple[float, float, float]]:
    return [(80 + 90 * t, 150, 90), (560 - 90 * t, 215, 80), (320, 330 + 15 * np.sin(2 * t), 70)]


def _swaying(t: float) -> list[tuple[float, float, float]]:
    return [(160 + 170 * i + 50 * np.sin(2.5 * t + i), 200, 90) for i in range(3)]


def _approaching(t: float) -> list[tuple[float, float, float]]:
    return [(320, 240, 60 * np.exp(t / 4)), (80, 200, 60), (580, 200, 50)]


def _follow(scene: Scene, fps: float, misses: float, jitter: float) -> list[list[str | None]]:
    """Return the face_id of each of the scene's faces, frame by frame; None if missed."""
    rng = np.random.default_rng(3)
    tracker = FaceTracker()
    names = []
    for stamp in stamps(fps, 5.0):
        stamp += int(rng.uniform(-jitter, jitter) * SECOND / fps)
        places = scene((stamp - START) / SECOND)
        seen = [None if rng.random() < misses else face(*place) for place in places]
        tracks = tracker.update([one for one in seen if one is not None], stamp)
        ids = {id(track.face): track.face_id for track in tracks}
        names.append([ids.get(id(one)) for one in seen])
    return names


@pytest.mark.parametrize("fps", [5, 10, 30, 60])
@pytest.mark.parametrize("scene", [_crossing, _swaying, _approaching])
@pytest.mark.parametrize(("misses", "jitter"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.4), (0.1, 0.3)])
def test_faces_keep_their_ids(scene: Scene, fps: float, misses: float, jitter: float) -> None:
    for ids in zip(*_follow(scene, fps, misses, jitter), strict=True):
        assert len(set(ids) - {None}) == 1, Counter(ids)


def states(tracks: list[Track]) -> list[str]:
    return [track.state.name for track in tracks]


@pytest.mark.parametrize("fps", [5, 10, 30, 60])
def test_the_life_of_a_track_is_measured_in_seconds(fps: float) -> None:
    tracker = FaceTracker(TrackerConfig(confirm_time=0.2, max_coast=1.0))
    period = 1.0 / fps
    confirmed = ended = None
    coasted = 0
    for stamp in stamps(fps, 4.0):
        t = (stamp - START) / SECOND
        for track in tracker.update([face()] if t < 1.0 else [], stamp):
            confirmed = confirmed or (t if track.state is TrackState.CONFIRMED else None)
            coasted += track.state is TrackState.COASTED
            if track.state is TrackState.ENDED:
                assert ended is None, "a track ends once"
                ended = t
    assert confirmed == pytest.approx(0.2, abs=period)
    assert ended == pytest.approx(2.0, abs=2 * period)
    assert coasted * period == pytest.approx(1.0, abs=2 * period)


def test_a_face_of_a_moment_is_never_confirmed() -> None:
    tracker = FaceTracker(TrackerConfig(max_tentative_coast=0.3))
    seen = [
        states(tracker.update([face()] if i == 0 else [], START + i * SECOND // 10))
        for i in range(6)
    ]
    assert seen == [["TENTATIVE"], ["COASTED"], ["COASTED"], ["COASTED"], ["ENDED"], []]


def test_a_coasting_face_is_where_it_was_going() -> None:
    tracker = FaceTracker()
    for i, stamp in enumerate(stamps(20, 1.0)):
        tracker.update([face(x=100 + 5 * i)], stamp)  # 100 px/s
    (track,) = tracker.update([], START + SECOND + SECOND // 4)
    assert track.state is TrackState.COASTED
    assert track.last_seen == START + 19 * SECOND // 20
    assert track.face.box_xyxy[[0, 2]].mean() == pytest.approx(225, abs=10)
    assert not track.face.has_landmarks
    (track,) = tracker.update([face(x=230)], START + SECOND + SECOND // 3)
    assert (track.face_id, track.state) == ("face_1", TrackState.CONFIRMED)


def test_a_face_that_appears_elsewhere_is_another_one() -> None:
    tracker = FaceTracker()
    for stamp in stamps(10, 1.0):
        tracker.update([face(x=150)], stamp)
    tracks = tracker.update([face(x=450)], START + SECOND)
    assert {t.face_id: t.state.name for t in tracks} == {"face_1": "COASTED", "face_2": "TENTATIVE"}


@pytest.mark.parametrize(
    ("then", "message"),
    [
        (START - 1, "the stamp went back"),
        (1, "the stamp went back"),
        (0, "has no stamp"),
        (-5, "has no stamp"),
        (START + 60 * SECOND, "jumped ahead by more than 5 s"),
    ],
)
def test_a_clock_that_jumps_ends_all_tracks_and_says_so(
    then: int, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = FaceTracker()
    tracker.update([face()], START)
    with caplog.at_level(logging.WARNING):
        tracks = tracker.update([face()], then)
    assert {t.face_id: t.state.name for t in tracks} == {"face_1": "ENDED", "face_2": "TENTATIVE"}
    (record,) = caplog.records
    assert message in record.getMessage()
    assert str(START) in record.getMessage()
    assert str(then) in record.getMessage()


def test_a_camera_without_stamps_fills_neither_memory_nor_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracker = FaceTracker()
    for _ in range(50):
        tracks = tracker.update([face()], 0)
    assert sorted(states(tracks)) == ["ENDED", "TENTATIVE"]
    assert len(caplog.records) == 1
    assert "ENDED" in states(tracker.update([face()], START))


def test_a_clock_that_keeps_jumping_is_logged_ever_more_rarely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracker = FaceTracker()
    for i in range(2000):
        tracker.update([face()], START + (i % 2) * SECOND)
    assert 10 <= len(caplog.records) < 20


def test_a_repeated_stamp_is_no_jump(caplog: pytest.LogCaptureFixture) -> None:
    tracker = FaceTracker()
    for _ in range(3):
        (track,) = tracker.update([face()], START)
    assert (track.face_id, track.state) == ("face_1", TrackState.TENTATIVE)
    assert not caplog.records


def test_reset_ends_each_track_once() -> None:
    tracker = FaceTracker()
    tracker.update([face(100), face(400)], START)
    tracker.reset()
    tracker.reset()
    tracks = tracker.update([face(100)], START + SECOND // 10)
    assert sorted(states(tracks)) == ["ENDED", "ENDED", "TENTATIVE"]
    assert tracks[0].face_id == "face_3"


def test_no_more_faces_are_followed_than_asked() -> None:
    tracker = FaceTracker(TrackerConfig(max_faces=3))
    crowd = [face(x=60 + 110 * i, size=60) for i in range(6)]
    for stamp in stamps(10, 1.0):
        tracks = tracker.update(crowd, stamp)
    assert [id(t.face) for t in tracks] == [id(one) for one in crowd[:3]]


@pytest.mark.parametrize(
    ("prefix", "first"), [("face", "face_1"), ("kx7_", "kx7_1"), ("cam1", "cam1_1")]
)
def test_ids_are_the_prefix_and_a_counter(prefix: str, first: str) -> None:
    (track,) = FaceTracker(id_prefix=prefix).update([face()], START)
    assert track.face_id == first


@pytest.mark.parametrize("prefix", ["", "1a", "_a", "Face", "a-b", "a b", "é"])
def test_a_prefix_that_ros_names_forbid_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(prefix))):
        FaceTracker(id_prefix=prefix)


_boxes = st.tuples(
    st.floats(-200, 800), st.floats(-200, 700), st.floats(2, 700), st.floats(0, 1)
).map(lambda v: face(x=v[0], y=v[1], size=v[2], score=v[3]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(_boxes, max_size=5), st.integers(-2 * SECOND, 7 * SECOND)), max_size=25
    )
)
def test_whatever_comes_the_books_balance(frames: list[tuple[list[Face], int]]) -> None:
    tracker = FaceTracker(TrackerConfig(max_faces=8))
    stamp, alive, ended = START, set(), set()
    for faces, step in frames:
        stamp += step
        tracks = tracker.update(faces, stamp)
        ids = [track.face_id for track in tracks]
        assert len(ids) == len(set(ids)), "one report a face"
        now = {t.face_id for t in tracks if t.state is not TrackState.ENDED}
        gone = set(ids) - now
        assert not ended & set(ids), "an ended id never comes back"
        assert alive <= set(ids), "no track vanishes without its ENDED"
        assert len(now) <= 8
        alive, ended = now, ended | gone
        for track in tracks:
            assert re.fullmatch(r"[a-z][a-z0-9_]*", track.face_id)
            assert track.first_seen <= track.last_seen
