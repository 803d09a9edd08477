from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from fsb_perception.tasks import TASKS
from fsb_training.judging.intervals import (
    gap_interval,
    metric_intervals,
    metrics_of,
    per_face,
    share_interval,
)
from fsb_training.judging.metrics import task_metrics


def answers(task: str, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, labels drawn by them, and ages of which every third is unknown."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, len(TASKS[task].labels)))
    probabilities = softmax(logits, axis=1).astype(np.float32)
    true = (rng.random((count, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    ages = rng.uniform(0, 90, count).astype(np.float32)
    ages[::3] = np.nan
    return probabilities, true.clip(0, logits.shape[1] - 1), ages


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("count", [2, 7, 400])
def test_sums_give_the_metrics_of_the_libraries(task: str, count: int) -> None:
    probabilities, true, ages = answers(task, count)
    values = ages if task == "age_group" else None
    faces = per_face(task, probabilities, true, values, 1.7)
    sums = {name: column.sum(axis=0, keepdims=True) for name, column in faces.items()}
    metrics = {name: float(at[0]) for name, at in metrics_of(sums, task).items()}
    expected = task_metrics(task, probabilities, true, values, 1.7)
    assert set(metrics) == set(expected) - {"count"}
    assert metrics == pytest.approx({name: expected[name] for name in metrics}, abs=1e-6)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("count", [2, 40, 2000])
def test_every_metric_lies_in_its_interval(task: str, count: int) -> None:
    probabilities, true, ages = answers(task, count)
    values = ages if task == "age_group" else None
    intervals = metric_intervals(task, probabilities, true, values, 0.6)
    metrics = task_metrics(task, probabilities, true, values, 0.6)
    assert set(intervals) == set(metrics) - {"count"}
    for name, (low, high) in intervals.items():
        assert low - 1e-6 <= metrics[name] <= high + 1e-6, name
        assert low >= 0
        assert high <= 1 or name in ("nll", "brier", "mae_years")


def test_four_times_the_faces_halve_the_interval() -> None:
    few = metric_intervals("emotion", *answers("emotion", 500)[:2])
    many = metric_intervals("emotion", *answers("emotion", 2000)[:2])
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "nll", "brier"):
        ratio = np.subtract(*many[name]) / np.subtract(*few[name])
        assert ratio == pytest.approx(0.5, rel=0.2), name


def test_accuracy_has_the_interval_of_a_share() -> None:
    probabilities, true, _ = answers("gender", 3000)
    share = (probabilities.argmax(axis=1) == true).mean()
    half = 1.96 * np.sqrt(share * (1 - share) / 3000)
    low, high = metric_intervals("gender", probabilities, true)["accuracy"]
    assert (low, high) == pytest.approx((share - half, share + half), abs=3e-3)


def test_the_same_faces_give_the_same_interval() -> None:
    faces = answers("age_group", 60)
    assert metric_intervals("age_group", *faces) == metric_intervals("age_group", *faces)


def test_one_face_has_no_interval() -> None:
    assert metric_intervals("gender", *answers("gender", 1)[:2]) == {}


@pytest.mark.parametrize(
    ("right", "count", "expected"),
    [(30, 30, (0.8865, 1.0)), (0, 10, (0.0, 0.2775)), (81, 263, (0.2553, 0.3662))],
)
def test_shares_have_wilsons_interval(
    right: int, count: int, expected: tuple[float, float]
) -> None:
    assert share_interval(right, count) == pytest.approx(expected, abs=1e-4)


def test_gaps_have_newcombes_interval() -> None:
    """See the first example of Newcombe's table II, method 10."""
    assert gap_interval((56, 70), (48, 80)) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    low, high = gap_interval((30, 30), (30, 30))
    assert low == pytest.approx(-high)
