"""Targets: votes, neighbours and Gaussians; zeros where the label is unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsb_perception.tasks import TASKS, Task, age_group
from fsb_training.data.targets import gaussian, targets
from fsb_training.datasets import load_training
from fsb_training.datasets.faceset import MISSING, FaceSet
from fsb_training.recipe_options import LossOptions
from tests.training.datasets import layouts

AGE = TASKS["age_group"]


def of_years(*years: float) -> FaceSet:
    labels = [MISSING if np.isnan(age) else age_group(int(age)) for age in years]
    values = {"age_group": np.array(years, np.float32)}
    files = tuple(map(str, years))
    return FaceSet("A", "fit", Path(), files, {"age_group": np.array(labels)}, values=values)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_age_targets_reach_their_neighbours(tmp_path: Path, share: float) -> None:
    layouts.utkface(tmp_path, count=10)
    faces = load_training(tmp_path, "UTKFace")
    rows = targets(faces, "age_group", LossOptions(age_neighbours=share))
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(rows.argmax(axis=1), faces.labels["age_group"])
    distance = np.abs(np.arange(9) - faces.labels["age_group"][:, None])
    assert (rows[distance > 1] == 0).all()
    assert ((rows[distance == 1] > 0) == (share > 0)).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 100) | st.just(float("nan")), min_size=1), st.floats(0.5, 20))
def test_a_gaussian_sums_to_one_and_a_missing_age_is_none(years: list[float], sigma: float) -> None:
    faces = of_years(*years)
    rows = targets(faces, "age_group", LossOptions(label_sigma=sigma))
    assert rows.dtype == np.float32
    assert (rows >= 0).all()
    known = faces.labels["age_group"] != MISSING
    np.testing.assert_allclose(rows.sum(axis=1), known, atol=1e-6)


def test_a_gaussian_lies_where_the_age_is() -> None:
    """Place a face of 39 years at 39.5: half a year, here one deviation, below 40."""
    rows = targets(of_years(39, 30, 34.5), "age_group", LossOptions(label_sigma=0.5))
    np.testing.assert_allclose(rows[0, 4:6], [0.8413, 0.1587], atol=1e-4)
    np.testing.assert_allclose(rows[1, 3:5], [0.1587, 0.8413], atol=1e-4)
    np.testing.assert_allclose(rows[2, 4], 1)


def test_without_years_it_lies_in_the_middle_of_the_group() -> None:
    labels, nothing = np.arange(9), np.full(9, np.nan, np.float32)
    rows = gaussian(AGE, labels, nothing, 5.0)
    np.testing.assert_array_equal(rows.argmax(axis=1)[1:], labels[1:])
    np.testing.assert_allclose(rows[4, 3:6], [0.1573, 0.6827, 0.1573], atol=2e-3)


def test_without_edges_a_label_is_one_unit() -> None:
    task = Task("steps", ("a", "b", "c"), ordered=True)
    row = gaussian(task, np.array([1]), np.full(1, np.nan, np.float32), 0.5)[0]
    np.testing.assert_allclose(row, [0.1587, 0.6827, 0.1587], atol=1e-4)


@pytest.mark.parametrize("sigma", [0.0, 3.0])
def test_votes_stay_as_they_are_and_unordered_labels_hard(sigma: float) -> None:
    votes = np.array([[0.5, 0.5, 0, 0, 0, 0, 0], [0] * 7], np.float32)
    labels = {"emotion": np.array([0, MISSING]), "gender": np.array([1, MISSING])}
    faces = FaceSet("A", "fit", Path(), ("0", "1"), labels, soft_labels={"emotion": votes})
    options = LossOptions(label_sigma=sigma)
    np.testing.assert_array_equal(targets(faces, "emotion", options), votes)
    np.testing.assert_array_equal(targets(faces, "gender", options), [[0, 1], [0, 0]])
    np.testing.assert_array_equal(targets(faces, "age_group", options), np.zeros((2, 9)))
