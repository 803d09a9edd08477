"""Times at which images are due, the ledger of published images, and the search for a rate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsb_perception.replay.bags.reader import Frame
from fsb_perception.replay.bags.topics import RAW, ImageTopic
from fsb_perception.replay.running.ledger import Ledger
from fsb_perception.replay.running.pace import (
    FASTEST,
    NEAR_ENOUGH,
    SLOWEST,
    Pace,
    Trial,
    highest_rate,
)

SECOND = 1_000_000_000
FRONT, SIDE = ImageTopic("/front/image", RAW), ImageTopic("/side/image", RAW)


def frame(stamp: int, topic: ImageTopic = FRONT) -> Frame:
    return Frame(topic, stamp, stamp, None)


@pytest.mark.parametrize(
    ("rate", "received", "due", "shortened"),
    [
        (1.0, [5, 6, 8], [100, 101, 103], 0),
        (2.0, [5, 6, 8], [100, 100.5, 101.5], 0),
        (1.0, [5, 3, 6], [100, 100, 101], 0),  # a recording that goes back waits for nothing
        (1.0, [5, 5000, 5001], [100, 110, 111], 1),  # a recorder that slept is not waited for
    ],
)
def test_an_image_is_due_when_it_was_recorded(
    rate: float, received: list[int], due: list[float], shortened: int
) -> None:
    pace = Pace(rate, 100.0)
    assert [pace.due(second * SECOND) for second in received] == pytest.approx(due)
    assert pace.shortened == shortened


def test_an_image_before_an_answered_one_of_its_camera_is_dropped() -> None:
    ledger = Ledger(limit=10.0)
    for at, sent in enumerate((frame(1), frame(1, SIDE), frame(2), frame(3))):
        ledger.note_sent(sent, float(at))
    assert ledger.note_answer("front", 2, "two", 2.5)
    fates = [(s.frame.topic.camera, s.answer, s.dropped) for s in ledger.take_settled(3.0)]
    assert fates == [("front", None, True)]  # the other camera's may still come, and waits ahead
    assert ledger.note_answer("side", 1, "one", 3.0)
    fates = [(s.frame.topic.camera, s.answer, s.wait) for s in ledger.take_settled(3.0)]
    assert fates == [("side", "one", 2.0), ("front", "two", 0.5)]
    assert not ledger.note_answer("front", 1, "late", 4.0)
    assert [s.frame.stamp for s in ledger.take_settled(13.1)] == [3]  # given up
    assert len(ledger) == 0


def test_images_of_one_stamp_are_answered_in_turn() -> None:
    ledger = Ledger(limit=10.0)
    ledger.note_sent(frame(7), 0.0)
    ledger.note_sent(frame(7), 1.0)
    assert ledger.note_answer("front", 7, "first", 2.0)
    assert ledger.note_answer("front", 7, "second", 2.0)
    assert [s.answer for s in ledger.take_settled(2.0)] == ["first", "second"]


@given(st.lists(st.sampled_from(["front", "side"]), max_size=40), st.data())
def test_every_image_has_one_fate_in_the_order_of_sending(
    cameras: list[str], data: st.DataObject
) -> None:
    ledger, topics = Ledger(limit=10.0), {"front": FRONT, "side": SIDE}
    for stamp, camera in enumerate(cameras):
        ledger.note_sent(frame(stamp, topics[camera]), 0.0)
    answered = [data.draw(st.booleans()) for _ in cameras]
    for stamp, camera in enumerate(cameras):
        if answered[stamp]:
            assert ledger.note_answer(camera, stamp, stamp, 1.0)
    fates = list(ledger.take_settled(20.0))
    assert [sent.frame.stamp for sent in fates] == list(range(len(cameras)))
    assert [sent.answer is not None for sent in fates] == answered


def trial(rate: float, most: float, player: float = 1000.0) -> Trial:
    return Trial(rate, min(rate, player), 1000, 0 if rate <= most else 500)


@given(st.floats(SLOWEST, FASTEST * 0.99))
def test_the_search_comes_near_the_highest_rate_and_never_above(most: float) -> None:
    rate, trials = highest_rate(lambda rate: trial(rate, most))
    assert rate <= most < NEAR_ENOUGH * rate * (1 + 1e-9)
    assert len(trials) <= 12


def test_a_node_that_never_keeps_up_has_no_rate() -> None:
    rate, trials = highest_rate(lambda rate: trial(rate, 0.0))
    assert rate == 0
    assert trials[-1].rate == SLOWEST


def test_a_player_that_cannot_keep_pace_shows_nothing_of_the_node() -> None:
    rate, trials = highest_rate(lambda rate: trial(rate, 1000.0, player=3.0))
    assert 2.0 <= rate <= 3.2
    assert not all(trial.kept_pace for trial in trials)
