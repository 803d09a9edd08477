"""Chances of the faces: class balance, duplication, and both together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsb_perception.options import OptionError, build
from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS
from fsb_training.data.balance import class_chances, draw_chances
from fsb_training.datasets.faceset import MISSING, FaceSet
from fsb_training.recipe_options import DataOptions

KINDS = {"gender": 2, "age_group": 9, "emotion": 7}


def faces(name: str = "A", **labels: Sequence[int]) -> FaceSet:
    columns = {task: np.array(column, np.int64) for task, column in labels.items()}
    count = len(next(iter(columns.values())))
    return FaceSet(name, "fit", Path(), tuple(map(str, range(count))), columns)


def one_hot(labels: Sequence[int], classes: int) -> np.ndarray:
    rows = np.zeros((len(labels), classes), np.float32)
    for row, label in enumerate(labels):
        rows[row, label] = label != MISSING
    return rows


def natural(**values: object) -> DataOptions:
    return DataOptions.model_validate({"shares": {"A": 1.0, "B": 1.0}, "balance": 0.0} | values)


# Labels by task, power, and chances in proportion, worked out by hand.
WEIGHTS: dict[str, tuple[Mapping[str, list[int]], float, list[float]]] = {
    "as they come": ({"emotion": [3, 3, 3, 6]}, 0.0, [1, 1, 1, 1]),
    "equally often": ({"emotion": [3, 3, 3, 6]}, 1.0, [1, 1, 1, 3]),
    "in between": ({"emotion": [3, 3, 3, 3, 6]}, 0.5, [1, 1, 1, 1, 2]),
    "one without a label": ({"emotion": [3, 3, 3, 6, MISSING]}, 1.0, [2 / 3] * 3 + [2, 1]),
    "no label at all": ({"emotion": [MISSING] * 3}, 1.0, [1, 1, 1]),
    "another task alone": ({"gender": [0, 0, 1]}, 1.0, [3 / 4, 3 / 4, 3 / 2]),
    # Of 0.75, 0.75, 1.5 and of 1.5, 0.75, 0.75, the means.
    "mean of two": ({"gender": [0, 0, 1], "emotion": [1, 2, 2]}, 1.0, [1.125, 0.75, 1.125]),
    # The last has no gender, so its emotion counts alone.
    "mean of those known": (
        {"gender": [0, 0, 1, MISSING], "emotion": [MISSING, MISSING, MISSING, 4]},
        1.0,
        [0.75, 0.75, 1.5, 1],
    ),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_rare_classes_are_drawn_more_often(case: str) -> None:
    labels, power, expected = WEIGHTS[case]
    result = class_chances(faces(**labels), tuple(TASKS), power)
    np.testing.assert_allclose(result, np.array(expected) / sum(expected))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*(st.integers(-1, n - 1) for n in KINDS.values())), min_size=1, max_size=30),
    st.floats(0, 1),
)
def test_whatever_is_absent_chances_are_finite_and_rarer_is_likelier(
    rows: list[tuple[int, ...]], power: float
) -> None:
    some = faces(**{task: [row[n] for row in rows] for n, task in enumerate(KINDS)})
    assert class_chances(some, tuple(KINDS), power).sum() == pytest.approx(1)
    chances = class_chances(some, ["emotion"], power)
    assert (chances > 0).all()
    emotion = some.labels["emotion"]
    counts = {label: (emotion == label).sum() for label in set(emotion.tolist()) - {MISSING}}
    for label, count in counts.items():
        for other, more in counts.items():
            if count < more:
                assert chances[emotion == label][0] >= chances[emotion == other][0] * (1 - 1e-9)


def test_by_default_emotions_alone_are_balanced_by_their_square_root() -> None:
    """Keep the chances of `nano` to the bit, so that repeated runs draw the same faces."""
    labels = np.array([0, 3, 3, 3, 6, 6, MISSING])
    weight, known = np.ones(7), labels != MISSING
    counts = np.bincount(labels[known])[labels[known]].astype(np.float64)
    weight[known] = counts**-0.5 / (counts**-0.5).mean()
    some = faces(emotion=labels, gender=[0, 0, 0, 0, 0, 0, 1])
    result = draw_chances([some], DataOptions(shares={"A": 1.0})).chances[0]
    np.testing.assert_array_equal(result, weight / weight.sum())


def test_a_share_is_of_the_batch_or_of_the_faces() -> None:
    sets = [faces("A", gender=[0] * 6), faces("B", gender=[0] * 2)]
    np.testing.assert_allclose(draw_chances(sets, natural()).shares, [0.5, 0.5])
    np.testing.assert_allclose(draw_chances(sets, natural(share_of="faces")).shares, [0.75, 0.25])


def test_copies_are_those_of_the_formula(caplog: pytest.LogCaptureFixture) -> None:
    sets = [
        faces("A", gender=[0] * 80),
        faces("B", emotion=[0] * 10, gender=[1] * 5 + [MISSING] * 5),
    ]
    options = natural(share_of="faces", duplicate={"emotion": 0.333})
    with caplog.at_level(logging.INFO):
        result = draw_chances(sets, options)
    added = (0.333 * 90 - 10) / (1 - 0.333)
    assert result.shares[1] == pytest.approx((10 + added) / (90 + added)) == pytest.approx(0.333)
    np.testing.assert_allclose(result.chances[1], np.full(10, 0.1))
    assert f"{round(added)} more of the 10 faces with a label of emotion" in caplog.text
    assert "0.111 of all became 0.333" in caplog.text


def test_what_is_there_in_plenty_is_not_repeated() -> None:
    sets = [faces("A", gender=[0] * 4), faces("B", emotion=[0] * 4)]
    before = draw_chances(sets, natural())
    after = draw_chances(sets, natural(duplicate={"emotion": 0.25}))
    np.testing.assert_allclose(after.shares, before.shares)


def test_copies_go_to_the_faces_and_not_to_their_data_set() -> None:
    mixed = faces("A", gender=[0] * 8, emotion=[1] * 2 + [MISSING] * 6)
    result = draw_chances([mixed], natural(duplicate={"emotion": 0.5}))
    np.testing.assert_allclose(result.chances[0], [0.25] * 2 + [0.5 / 6] * 6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 1), st.integers(-1, 6)), min_size=2, max_size=20),
    st.floats(0.05, 0.45),
    st.floats(0.05, 0.45),
)
def test_every_task_has_its_share_however_they_overlap(
    rows: list[tuple[int, int]], gender: float, emotion: float
) -> None:
    rows = [*rows, (0, MISSING), (MISSING, 0)]
    some = faces(gender=[row[0] for row in rows], emotion=[row[1] for row in rows])
    fractions = {"gender": gender, "emotion": emotion}
    chances = draw_chances([some], natural(duplicate=fractions)).chances[0]
    assert chances.sum() == pytest.approx(1)
    for task, fraction in fractions.items():
        assert chances[some.labels[task] != MISSING].sum() >= fraction - 1e-6


def test_class_shares_are_those_of_what_is_drawn() -> None:
    sets = [faces("A", gender=[0, 0, 0, 1]), faces("B", gender=[1, MISSING])]
    rows = [one_hot(s.labels["gender"].tolist(), 2) for s in sets]
    np.testing.assert_allclose(
        draw_chances(sets, natural(share_of="faces")).class_shares(rows), [3 / 5, 2 / 5]
    )
    # Half the batches from B, of which half are labelled: 0.375 against 0.125 and 0.25.
    np.testing.assert_allclose(draw_chances(sets, natural()).class_shares(rows), [0.5, 0.5])
    nothing = [np.zeros_like(r) for r in rows]
    np.testing.assert_array_equal(draw_chances(sets, natural()).class_shares(nothing), [0, 0])


@pytest.mark.parametrize(
    ("values", "error", "texts"),
    [
        ({"data.duplicate.emotion": 1.0}, OptionError, ("data.duplicate", "1.0 for emotion")),
        ({"data.duplicate.emotion": 0.0}, OptionError, ("data.duplicate", "0.0 for emotion")),
        ({"data.duplicate": {"emotion": 0.6, "gender": 0.4}}, OptionError, ("sum below 1",)),
        ({"data.duplicate.emotoin": 0.5}, UnknownNameError, ("Did you mean 'emotion'",)),
        ({"data.duplicate.emotion": "much"}, OptionError, ("data.duplicate.emotion", "'much'")),
        ({"data.balanced_tasks": ("emotoin",)}, UnknownNameError, ("Did you mean 'emotion'",)),
        ({"data.balance": 1.5}, OptionError, ("data.balance", "1.5")),
        ({"data.share_of": "people"}, OptionError, ("batch, faces",)),
        ({"data.emotion_balance": 0.5}, UnknownNameError, ("data.balance",)),
    ],
)
def test_what_cannot_hold_is_refused(
    values: dict[str, object], error: type[Exception], texts: tuple[str, ...]
) -> None:
    from fsb_training.recipe import Recipe

    with pytest.raises(error) as refusal:
        build(Recipe, values)
    for text in texts:
        assert text in str(refusal.value)


def test_a_task_without_a_face_cannot_be_duplicated() -> None:
    with pytest.raises(OptionError, match="got emotion, of which no face here has a label"):
        draw_chances([faces(gender=[0, 1])], natural(duplicate={"emotion": 0.3}))
