"""The number of threads that are worth their cores."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from fsb_perception.inference.engine import Engine, EngineConfig
from fsb_perception.inference.hardware import worthwhile_threads
from tests.bundles import random_bundle


@pytest.mark.parametrize(
    ("every", "seconds", "chosen"),
    [
        (1, {}, 1),  # nothing to choose: it is not even tried
        (2, {1: 0.02, 2: 0.02}, 1),
        (2, {1: 0.04, 2: 0.02}, 2),
        (2, {1: 0.02, 2: 0.04}, 1),  # threads may do harm
        (4, {1: 0.04, 3: 0.02}, 3),  # one core is for the others
    ],
)
def test_threads_must_earn_their_cores(every: int, seconds: dict[int, float], chosen: int) -> None:
    before = torch.get_num_threads()
    work = lambda: time.sleep(seconds[torch.get_num_threads()])  # noqa: E731
    assert worthwhile_threads(work, every) == chosen
    assert torch.get_num_threads() == before


def test_a_failure_leaves_the_number_as_it_was() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        worthwhile_threads(lambda: 1 / 0, every=8)
    assert torch.get_num_threads() == before


def test_a_number_that_was_asked_for_is_kept(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        engine = Engine(random_bundle(tmp_path), EngineConfig(threads=3))
        engine.share_cores()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
