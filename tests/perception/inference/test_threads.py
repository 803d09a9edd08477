"""The number of threads that are worth their cores."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from fsb_perception.inference.config import EngineConfig
from fsb_perception.inference.engine import Engine
from fsb_perception.inference.threads import worthwhile_threads
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
    counts: list[int] = []
    assert worthwhile_threads(lambda: time.sleep(seconds[counts[-1]]), counts.append, every) == (
        chosen
    )
    assert counts[-1] == chosen


def test_a_number_that_was_asked_for_is_kept(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        engine = Engine(random_bundle(tmp_path), EngineConfig(threads=3, runtime="torch"))
        engine.share_cores()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
