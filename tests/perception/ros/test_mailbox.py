"""Mailboxes: the newest frame wins, every loss is counted, no camera starves."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsb_perception.ros.mailbox import Mailboxes, WaitingFrame

CAMERAS = ("front", "rear", "left")


def frame(camera: str, content: int = 0) -> WaitingFrame[int]:
    return WaitingFrame(camera, content, arrival=0.0)


def test_the_newest_frame_wins_and_the_others_are_counted() -> None:
    boxes: Mailboxes[int] = Mailboxes(["front"])
    for content in range(5):
        boxes.put(frame("front", content))
    assert boxes.take(0.0) == frame("front", 4)
    assert boxes.replaced("front") == 4
    assert boxes.take(0.0) is None


# Events: a frame comes from a camera, or (None) the worker takes one.
@given(st.lists(st.sampled_from([*CAMERAS, None]), max_size=60))
def test_every_frame_is_taken_replaced_or_waiting(events: list[str | None]) -> None:
    boxes: Mailboxes[int] = Mailboxes(CAMERAS)
    arrived: dict[str, list[int]] = {camera: [] for camera in CAMERAS}
    taken: dict[str, list[int]] = {camera: [] for camera in CAMERAS}
    for time_, camera in enumerate(events):
        if camera is not None:
            boxes.put(frame(camera, time_))
            arrived[camera].append(time_)
        elif (got := boxes.take(0.0)) is not None:
            assert got.content == arrived[got.camera][-1]  # never an older one
            taken[got.camera].append(got.content)
    while (got := boxes.take(0.0)) is not None:
        taken[got.camera].append(got.content)
    for camera in CAMERAS:
        assert taken[camera] == sorted(set(taken[camera]))
        assert len(arrived[camera]) == len(taken[camera]) + boxes.replaced(camera)


def test_a_fast_camera_does_not_starve_the_others() -> None:
    boxes: Mailboxes[int] = Mailboxes(CAMERAS)
    turns = []
    for _ in range(30):
        for camera in CAMERAS:
            boxes.put(frame(camera))
        for _ in range(5):
            boxes.put(frame("front"))
        got = boxes.take(0.0)
        assert got is not None
        turns.append(got.camera)
    assert all(set(turns[i : i + 3]) == set(CAMERAS) for i in range(0, 30, 3))


def test_waiting_ends_without_a_frame() -> None:
    boxes: Mailboxes[int] = Mailboxes(CAMERAS)
    begun = time.monotonic()
    assert boxes.take(0.05) is None
    assert time.monotonic() - begun >= 0.04


def test_waiting_ends_with_a_frame() -> None:
    boxes: Mailboxes[int] = Mailboxes(CAMERAS)
    threading.Timer(0.02, boxes.put, [frame("rear", 7)]).start()
    assert boxes.take(10.0) == frame("rear", 7)


def test_an_emptied_mailbox_counts_its_frame_as_replaced() -> None:
    boxes: Mailboxes[int] = Mailboxes(CAMERAS)
    boxes.put(frame("front"))
    boxes.put(frame("front"))
    boxes.empty()
    assert boxes.take(0.0) is None
    assert (boxes.replaced("front"), boxes.replaced("rear")) == (2, 0)


def test_a_held_frame_comes_back_before_newer_ones() -> None:
    boxes: Mailboxes[int] = Mailboxes(CAMERAS)
    boxes.put(frame("front", 0))
    late = boxes.take(0.0)
    assert late is not None
    boxes.hold(late)
    for content in (1, 2):
        boxes.put(frame("front", content))
        boxes.put(frame("rear", content))
    assert boxes.take(0.0) == frame("rear", 2)
    assert boxes.take(0.0) is None
    threading.Timer(0.02, boxes.release, [late]).start()
    assert boxes.take(10.0) is late
    assert boxes.take(0.0) == frame("front", 2)
    assert boxes.replaced("front") == 1


def test_a_held_frame_is_dropped_and_counted_with_the_others() -> None:
    boxes: Mailboxes[int] = Mailboxes(CAMERAS)
    late = frame("front")
    boxes.hold(late)
    boxes.empty()
    boxes.release(late)
    assert boxes.take(0.0) is None
    assert boxes.replaced("front") == 1


def test_no_frame_is_lost_between_threads() -> None:
    boxes: Mailboxes[int] = Mailboxes(CAMERAS)
    frames, taken = 500, dict.fromkeys(CAMERAS, 0)

    def send(camera: str) -> None:
        for content in range(frames):
            boxes.put(frame(camera, content))

    senders = [threading.Thread(target=send, args=[camera]) for camera in CAMERAS]
    for sender in senders:
        sender.start()
    while any(sender.is_alive() for sender in senders):
        if (got := boxes.take(0.001)) is not None:
            taken[got.camera] += 1
    while (got := boxes.take(0.0)) is not None:
        taken[got.camera] += 1
    assert {camera: taken[camera] + boxes.replaced(camera) for camera in CAMERAS} == dict.fromkeys(
        CAMERAS, frames
    )


def test_a_camera_that_is_not_known_is_an_error() -> None:
    with pytest.raises(KeyError):
        Mailboxes(CAMERAS).put(frame("top"))
