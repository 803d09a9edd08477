from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from fsb_training.judging.metrics import (
    expected_value,
    fit_temperature,
    match_confidence,
    task_metrics,
    uncalibrated,
)


def rows(best: list[int], classes: int, confidence: float) -> np.ndarray:
    """Probabilities whose best class has ``confidence``; the rest is spread evenly."""
    table = np.full((len(best), classes), (1 - confidence) / (classes - 1), np.float32)
    table[np.arange(len(best)), best] = confidence
    return table


@pytest.mark.parametrize(
    ("task", "best", "true", "expected"),
    [
        ("gender", [0, 0, 1, 1], [0, 0, 1, 1], {"accuracy": 1.0, "balanced_accuracy": 1.0}),
        ("gender", [0, 0, 0, 0], [0, 0, 0, 1], {"accuracy": 0.75, "balanced_accuracy": 0.5}),
        ("age_group", [0, 2, 5], [0, 3, 3], {"accuracy": 1 / 3, "within_one_accuracy": 2 / 3}),
        ("emotion", [6, 3, 3], [6, 3, 0], {"accuracy": 2 / 3, "balanced_accuracy": 2 / 3}),
        # F1 of neutral 1, of happiness 2 / 3, of surprise 0.
        ("emotion", [6, 3, 3], [6, 3, 0], {"macro_f1": 5 / 9}),
        ("gender", [0, 0, 0, 0], [0, 0, 0, 1], {"macro_f1": 3 / 7}),
        # 0.8 for the right label: -ln 0.8, and (0.2)^2 twice.
        ("gender", [0, 1], [0, 1], {"nll": -np.log(0.8), "brier": 0.08}),
        ("gender", [0, 1], [1, 0], {"nll": -np.log(0.2), "brier": 1.28}),
    ],
)
def test_against_numbers_worked_by_hand(
    task: str, best: list[int], true: list[int], expected: dict[str, float]
) -> None:
    classes = {"gender": 2, "age_group": 9, "emotion": 7}[task]
    metrics = task_metrics(task, rows(best, classes, 0.8), np.array(true))
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    assert metrics["count"] == len(true)
    assert ("within_one_accuracy" in metrics) == (task == "age_group")


@pytest.mark.parametrize(
    ("confidence", "right", "gap"), [(0.8, 8, 0.0), (0.8, 5, 0.3), (0.6, 10, 0.4)]
)
def test_calibration_error_is_the_gap(confidence: float, right: int, gap: float) -> None:
    true = np.array([0] * right + [1] * (10 - right))
    metrics = task_metrics("gender", rows([0] * 10, 2, confidence), true)
    assert metrics["ece"] == pytest.approx(gap, abs=1e-6)


def test_expected_age_is_that_of_the_middles() -> None:
    sure = np.eye(9, dtype=np.float32)
    assert expected_value("age_group", sure).tolist() == [1.5, 6.5, 15, 25, 35, 45, 55, 65, 77.5]
    torn = (sure[3:4] + sure[5:6]) / 2
    assert expected_value("age_group", torn) == pytest.approx([35.0])


def test_error_in_years_is_of_the_faces_whose_age_is_known() -> None:
    true, ages = np.array([3, 4, 5]), np.array([27, np.nan, 41], np.float32)
    metrics = task_metrics("age_group", np.eye(9, dtype=np.float32)[true], true, ages)
    assert metrics["mae_years"] == pytest.approx((2 + 4) / 2)
    unknown = np.full(3, np.nan, np.float32)
    assert "mae_years" not in task_metrics("age_group", rows([3, 4, 5], 9, 0.8), true, unknown)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_calibration_is_undone(temperature: float) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (50, 7))
    calibrated = softmax(logits / temperature, axis=1).astype(np.float32)
    plain = softmax(logits, axis=1)
    assert uncalibrated(calibrated, temperature) == pytest.approx(plain, abs=1e-5)
    true = plain.argmax(axis=1)
    metrics = task_metrics("emotion", calibrated, true, temperature=temperature)
    before = task_metrics("emotion", plain.astype(np.float32), true)["ece"]
    assert metrics["ece_before"] == pytest.approx(before, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_recovered(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20000, 4))
    chance = softmax(logits, axis=1).cumsum(axis=1)
    true = (rng.random((20000, 1)) > chance).sum(axis=1)
    for fit in (fit_temperature, match_confidence):
        assert fit(logits * temperature, true) == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize(("right", "faces"), [(0, 9), (9, 9), (3, 9), (700, 900)])
def test_confidence_is_on_average_what_is_right(right: int, faces: int) -> None:
    """Also of few faces, all of which are right, or none."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1, (faces, 5)).astype(np.float32)
    logits[np.arange(faces), logits.argmax(axis=1)] += 2  # no ties, which no temperature settles
    true = (logits.argmax(axis=1) + (np.arange(faces) >= right)) % 5
    temperature = match_confidence(logits, true)
    confidence = softmax(logits / temperature, axis=1).max(axis=1).mean()
    if right == 0:  # no answer of five is less sure than one in five
        assert temperature == pytest.approx(20)
    else:
        assert confidence == pytest.approx((right + 1) / (faces + 2), abs=1e-4)


def test_nothing_to_judge_is_said() -> None:
    with pytest.raises(ValueError, match="gender"):
        task_metrics("gender", np.zeros((0, 2), np.float32), np.array([], np.int64))
