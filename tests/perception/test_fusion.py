from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsb_perception.fusion import FaceFusion, FusionConfig
from fsb_perception.options import build
from fsb_perception.tasks import TASKS, Task
from fsb_perception.types import UNKNOWN, AttributeEstimate
from tests.builders import SECOND, START, probabilities, stamps

GENDER, AGE, EMOTION = TASKS["gender"], TASKS["age_group"], TASKS["emotion"]
HAPPY, NEUTRAL = EMOTION.labels.index("happiness"), EMOTION.labels.index("neutral")
ALONE = Task("mask", ("no", "yes"))  # known to no table: it has the general options


def fusion(*tasks: Task, **fields: object) -> FaceFusion:
    return FaceFusion(tasks or tuple(TASKS.values()), FusionConfig(**fields))


def said(
    fuse: FaceFusion,
    task: Task,
    stamp: int,
    best: int,
    confidence: float = 0.9,
    quality: float = 1.0,
) -> AttributeEstimate:
    looks = {task.name: probabilities(task, best, confidence)}
    return fuse.update("face_1", stamp, looks, quality)[0]


def unseen(fuse: FaceFusion, stamp: int) -> AttributeEstimate:
    return fuse.update("face_1", stamp, None)[0]


def test_before_the_first_look_nothing_is_claimed() -> None:
    for estimate in fusion().update("face_1", START, None):
        assert estimate.label == estimate.raw_label == UNKNOWN
        assert (estimate.confidence, estimate.raw_confidence) == (0.0, 0.0)
        assert estimate.probabilities == ()
        assert math.isnan(estimate.value)
        assert math.isnan(estimate.value_stddev)
        assert (estimate.looks, estimate.last_look, estimate.stable) == (0, 0, False)


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_one_good_look_counts_at_once_and_keeps_its_calibration(task: Task) -> None:
    estimate = said(fusion(task), task, START, best=1, confidence=0.83)
    assert estimate.label == estimate.raw_label == task.labels[1]
    assert estimate.confidence == pytest.approx(0.83)
    assert estimate.probabilities == pytest.approx(probabilities(task, 1, 0.83).tolist())
    assert (estimate.looks, estimate.last_look, estimate.since) == (1, START, START)
    assert not estimate.stable


@pytest.mark.parametrize("task", [GENDER, AGE, EMOTION, ALONE], ids=lambda task: task.name)
def test_looks_that_agree_leave_the_confidence_as_it_is(task: Task) -> None:
    fuse = fusion(task)
    for stamp in stamps(15, 3.0):
        estimate = said(fuse, task, stamp, best=0, confidence=0.75)
    assert estimate.confidence == pytest.approx(0.75)
    assert estimate.looks == 45


def signal(t: float) -> int:
    """Happy for a second and a half, then neutral, with a glance of anger."""
    return EMOTION.labels.index("anger") if 0.9 < t < 1.0 else HAPPY if t < 1.5 else NEUTRAL


@pytest.mark.parametrize("task", [EMOTION, AGE], ids=lambda task: task.name)
@pytest.mark.parametrize("until", [0.5, 1.4, 1.9, 2.5, 4.0])
def test_the_frame_rate_changes_nothing(task: Task, until: float) -> None:
    ends = []
    for fps in (10, 30, 60):
        fuse = fusion(task)
        for stamp in stamps(fps, until):
            estimate = said(fuse, task, stamp, signal((stamp - START) / SECOND), quality=0.2)
        ends.append(estimate.probabilities)
    assert np.abs(np.array(ends) - ends[0]).max() < 0.08


def test_the_frame_rate_may_change_on_the_way() -> None:
    steady, uneven = fusion(EMOTION), fusion(EMOTION)
    rng = np.random.default_rng(1)
    for stamp in stamps(60, 3.0):
        best = signal((stamp - START) / SECOND)
        expected = said(steady, EMOTION, stamp, best)
        if rng.random() < 0.5:
            estimate = said(uneven, EMOTION, stamp, best)
    assert np.abs(np.subtract(estimate.probabilities, expected.probabilities)).max() < 0.08


@pytest.mark.parametrize("confidence", [0.5, 0.6, 0.9])
def test_a_label_does_not_flicker(confidence: float) -> None:
    fuse, labels = fusion(EMOTION), []
    for i, stamp in enumerate(stamps(30, 5.0)):
        labels.append(said(fuse, EMOTION, stamp, (HAPPY, NEUTRAL)[i % 2], confidence).label)
    changes = sum(before != after for before, after in itertools.pairwise(labels))
    assert changes <= 2


def test_one_confident_slip_changes_no_label() -> None:
    fuse = fusion(GENDER)
    for stamp in stamps(30, 1.0):
        said(fuse, GENDER, stamp, best=1)
    estimate = said(fuse, GENDER, START + SECOND, best=0, confidence=0.999)
    assert (estimate.label, estimate.raw_label) == ("female", "male")


def test_a_change_of_mind_is_noticed_within_a_few_time_constants() -> None:
    fuse = fusion(EMOTION)
    for stamp in stamps(30, 5.0):
        said(fuse, EMOTION, stamp, HAPPY)
    labels = [said(fuse, EMOTION, s, NEUTRAL).label for s in stamps(30, 2.0, START + 5 * SECOND)]
    assert labels[0] == "happiness"
    assert labels[-1] == "neutral"
    assert labels.index("neutral") / 30 < 2 * FusionConfig().for_task("emotion").time_constant


def test_a_face_long_unseen_has_no_expression_but_keeps_its_age() -> None:
    fuse = fusion(AGE, EMOTION)
    looks = {"age_group": probabilities(AGE, 4), "emotion": probabilities(EMOTION, HAPPY)}
    fuse.update("face_1", START, looks, 1.0)
    before, *_ = fuse.update("face_1", START, None)
    age, emotion = fuse.update("face_1", START + SECOND, None)
    assert emotion.label == UNKNOWN
    assert emotion.raw_label == "happiness", "the newest look is still what it was"
    assert age.label == "30-39"
    assert age.value == pytest.approx(before.value), "no drift to the middle of the scale"
    assert age.value_stddev > before.value_stddev, "but less certain"
    later, _ = fuse.update("face_1", START + 60 * SECOND, None)
    assert later.label == UNKNOWN
    assert later.probabilities == pytest.approx([1 / 9] * 9, abs=0.01)


def test_bad_looks_alone_never_make_a_label() -> None:
    fuse = fusion(EMOTION)
    for stamp in stamps(30, 3.0):
        estimate = said(fuse, EMOTION, stamp, HAPPY, confidence=0.99, quality=0.06)
    assert estimate.label == UNKNOWN
    assert estimate.raw_label == "happiness"


def test_a_good_look_outweighs_the_bad_ones_before_it() -> None:
    fuse = fusion(GENDER)
    for stamp in stamps(30, 0.3):
        said(fuse, GENDER, stamp, best=0, confidence=0.9, quality=0.06)
    for stamp in stamps(30, 0.3, START + SECOND // 3):
        estimate = said(fuse, GENDER, stamp, best=1, confidence=0.95, quality=0.9)
    assert estimate.label == "female"


@pytest.mark.parametrize("fps", [5, 30])
def test_stable_means_held_for_the_settle_time(fps: float) -> None:
    fuse = fusion(EMOTION)
    settle = FusionConfig().for_task("emotion").settle_time
    for stamp in stamps(fps, 2.0):
        estimate = said(fuse, EMOTION, stamp, HAPPY)
        assert estimate.since == START
        assert estimate.stable == ((stamp - START) / SECOND >= settle)
    estimate = unseen(fuse, START + 60 * SECOND)
    assert (estimate.label, estimate.stable) == (UNKNOWN, False)
    assert estimate.since == START + 60 * SECOND


@pytest.mark.parametrize(
    ("best", "years"), [(0, 1.5), (1, 6.5), (2, 15.0), (4, 35.0), (7, 65.0), (8, 77.5)]
)
def test_an_age_is_the_middle_of_its_group(best: int, years: float) -> None:
    estimate = said(fusion(AGE), AGE, START, best, confidence=1.0)
    assert (estimate.value, estimate.unit) == (pytest.approx(years, abs=0.01), "year")
    width = np.diff(AGE.edges)[best]
    assert estimate.value_stddev == pytest.approx(width / math.sqrt(12), abs=0.05)


def test_a_task_without_a_number_has_none() -> None:
    estimate = said(fusion(GENDER), GENDER, START, 0)
    assert math.isnan(estimate.value)
    assert estimate.unit == ""


def test_labels_that_differ_from_the_tables_have_no_number() -> None:
    other = Task("age_group", ("young", "old"))
    estimate = said(fusion(other), other, START, 1)
    assert (estimate.label, estimate.unit) == ("old", "")
    assert math.isnan(estimate.value)


@pytest.mark.parametrize("back", [0, 1, SECOND, START])
def test_a_stamp_that_does_not_advance_is_no_time(back: int) -> None:
    fuse = fusion(EMOTION)
    said(fuse, EMOTION, START, HAPPY)
    estimate = unseen(fuse, START - back)
    assert (estimate.label, estimate.confidence) == ("happiness", pytest.approx(0.9))


def test_faces_are_apart_and_forgotten() -> None:
    fuse = fusion(GENDER)
    fuse.update("face_1", START, {"gender": probabilities("gender", 0)}, 1.0)
    (other,) = fuse.update("face_2", START, {"gender": probabilities("gender", 1)}, 1.0)
    assert other.label == "female"
    fuse.forget("face_1")
    fuse.forget("face_1")
    assert len(fuse) == 1
    assert fuse.update("face_1", START, None)[0].looks == 0


def test_thresholds_may_change_at_any_time() -> None:
    fuse = fusion(GENDER)
    assert said(fuse, GENDER, START, 0, confidence=0.65).label == UNKNOWN
    fuse.config = build(FusionConfig, {"gender.enter": 0.6, "gender.exit": 0.5})
    assert said(fuse, GENDER, START + 1, 0, confidence=0.65).label == "male"


_rows = st.lists(st.floats(1e-6, 1.0), min_size=9, max_size=9)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.one_of(st.none(), _rows), st.floats(0, 1), st.integers(-SECOND, 40 * SECOND)),
        min_size=1,
        max_size=30,
    )
)
def test_whatever_comes_probabilities_sum_to_one(
    frames: list[tuple[list[float] | None, float, int]],
) -> None:
    fuse = fusion(AGE)
    stamp = newest = START
    for row, quality, step in frames:
        stamp += step
        look = None if row is None else {"age_group": np.array(row, np.float32) / np.sum(row)}
        (estimate,) = fuse.update("face_1", stamp, look, quality)
        newest = max(newest, stamp)
        if not estimate.looks:
            assert estimate.probabilities == ()
            continue
        as_sent = np.array(estimate.probabilities, np.float32)
        assert as_sent.sum() == pytest.approx(1.0, abs=1e-6)
        assert (as_sent >= 0).all()
        assert estimate.confidence == max(estimate.probabilities)
        assert AGE.edges[0] <= estimate.value <= AGE.edges[-1]
        assert 0 < estimate.value_stddev < 85
        assert estimate.since <= newest
        assert estimate.last_look <= newest
