from __future__ import annotations

import logging

import numpy as np
import pytest

from fsb_perception.detection.base import DetectorConfig, Limits
from fsb_perception.tracking import FaceTracker, TrackerConfig
from tests.builders import face


def test_faces_past_the_limit_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    limits = Limits(DetectorConfig(max_faces=2))
    faces = [face(20 * number, 60, 10) for number in range(1, 4)]
    assert len(limits.best(faces[:2])) == 2
    assert not caplog.records
    for _ in range(3):
        assert len(limits.best(faces)) == 2
    (record,) = caplog.records
    assert "detector.max_faces" in record.message


def test_shrunk_pictures_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    limits = Limits(DetectorConfig(max_side=64))
    for size in (64, 128, 128):
        picture, _ = limits.shrink(np.zeros((size, size, 3), np.uint8))
        assert picture.shape == (64, 64, 3)
    (record,) = caplog.records
    assert "128 x 128 px are shrunk to 64 px" in record.message


def test_a_full_tracker_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tracker = FaceTracker(TrackerConfig(max_faces=1))
    faces = [face(50, 60, 40), face(250, 60, 40)]
    for second in (1, 2):
        assert len(tracker.update(faces, second * 100_000_000)) == 1
    (record,) = caplog.records
    assert "tracker.max_faces" in record.message
