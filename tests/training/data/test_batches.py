from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from fsb_training.data.batches import StepBatches, loader, size_at, total_steps
from fsb_training.data.faces import Source
from fsb_training.data.sources import open_sources
from fsb_training.recipe import Recipe
from tests.training.datasets import layouts


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    root = layouts.everything(tmp_path_factory.mktemp("data"), count=10)
    return Recipe.model_validate(
        {
            "data": {
                "root": str(root),
                "cache": str(root / "cache"),
                "shares": {"FairFace": 0.4, "UTKFace": 0.2, "FERPlus": 0.4},
            },
            "sizes": (32, 48),
            "stage_shares": (0.5, 0.5),
            "optimiser": {"images": 64, "batch_size": 8},
        }
    )


@pytest.fixture(scope="module")
def sources(recipe: Recipe) -> list[Source]:
    return open_sources(recipe)[0]


def test_a_batch_depends_on_its_step_alone(recipe: Recipe, sources: list[Source]) -> None:
    batches = StepBatches(sources, recipe)
    in_order = [batches[step] for step in range(4)]
    torch.testing.assert_close(StepBatches(sources, recipe)[3].pixels, in_order[3].pixels)
    assert not torch.equal(in_order[0].pixels, in_order[1].pixels)


def test_the_loader_goes_on_where_it_is_told(recipe: Recipe, sources: list[Source]) -> None:
    batches = StepBatches(sources, recipe)
    rest = list(loader(batches, first_step=6))
    assert len(rest) == 2
    torch.testing.assert_close(rest[1][0].pixels, batches[7].pixels)


@pytest.mark.timeout(60)
def test_the_loader_starts_where_opencv_has_had_threads(
    recipe: Recipe, sources: list[Source]
) -> None:
    """They do not survive a fork: the other process waited for them for ever."""
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((1500, 1500, 3), np.uint8), (0, 0), 5.0)
    assert len(next(loader(StepBatches(sources, recipe), 0))) == 1


def test_small_pictures_come_first(recipe: Recipe, sources: list[Source]) -> None:
    assert total_steps(recipe) == 8
    assert [size_at(step, recipe) for step in range(8)] == [32] * 4 + [48] * 4
    batches = StepBatches(sources, recipe)
    assert batches[3].pixels.shape == (8, 3, 32, 32)
    assert batches[4].pixels.shape == (8, 3, 48, 48)


def test_a_face_has_targets_for_its_own_tasks_alone(recipe: Recipe, sources: list[Source]) -> None:
    known = {
        task: rows.sum(dim=1) for task, rows in StepBatches(sources, recipe)[0].targets.items()
    }
    for sums in known.values():
        assert ((sums - 1).abs().lt(1e-5) | sums.eq(0)).all()
    assert torch.equal(known["gender"] > 0, known["emotion"] == 0)
