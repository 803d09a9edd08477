from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from fsb_training.metrics import expected_calibration_error, fit_temperature, task_metrics


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
    assert expected_calibration_error(rows([0] * 10, 2, confidence), true) == pytest.approx(
        gap, abs=1e-6
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_recovered(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20000, 4))
    chance = softmax(logits, axis=1).cumsum(axis=1)
    true = (rng.random((20000, 1)) > chance).sum(axis=1)
    assert fit_temperature(logits * temperature, true) == pytest.approx(temperature, rel=0.05)


def test_nothing_to_judge_is_said() -> None:
    with pytest.raises(ValueError, match="gender"):
        task_metrics("gender", np.zeros((0, 2), np.float32), np.array([], np.int64))
