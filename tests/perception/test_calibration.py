from __future__ import annotations

import pytest

from fsb_perception.calibration import ECE_BINS, confidence_bins, expected_calibration_error


def test_a_confidence_of_one_is_in_the_last_bin() -> None:
    assert confidence_bins([1.0, 0.95]).tolist() == [ECE_BINS - 1] * 2
    # One bin: confidence (1 + 0.95 + 1) / 3, accuracy 2 / 3.
    error = expected_calibration_error([1.0, 0.95, 1.0], [True, True, False])
    assert error == pytest.approx(0.95 / 3, abs=1e-6)


def test_gaps_in_different_bins_do_not_cancel() -> None:
    error = expected_calibration_error([0.9, 0.1], [False, True])
    assert error == pytest.approx(0.9, abs=1e-6)
