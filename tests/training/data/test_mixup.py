"""Faces shown through one another: never a known label through a missing one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fsb_training.data.batches import StepBatches
from fsb_training.data.faces import Source
from fsb_training.data.mixup import Mixture, mixture, unmixed
from fsb_training.data.sources import open_sources
from fsb_training.recipe import Recipe
from tests.training.datasets import layouts


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), max_size=16),
    st.sampled_from([0.1, 1.0, 8.0]),
    st.integers(0, 9),
)
def test_known_labels_stay_whole_and_missing_ones_missing(
    known: list[tuple[bool, bool]], alpha: float, seed: int
) -> None:
    mixed = mixture(known, alpha, np.random.default_rng(seed))
    for task in range(2):
        rows = np.zeros((len(known), 3), np.float32)
        for row, tasks in enumerate(known):
            rows[row, row % 3] = tasks[task]
        sums = mixed.targets(rows).sum(axis=1)
        np.testing.assert_allclose(sums, [tasks[task] for tasks in known], atol=1e-6)
    assert sorted(mixed.partner) == list(range(len(known)))
    assert all(known[n] == known[other] for n, other in enumerate(mixed.partner))
    assert ((mixed.weight >= 0) & (mixed.weight <= 1)).all()


def test_picture_and_target_have_the_same_shares() -> None:
    mixed = Mixture(np.array([1, 0, 2]), np.array([0.75, 0.5, 1.0]))
    pictures = [np.full((2, 2, 3), value, np.uint8) for value in (200, 100, 7)]
    shown = [int(mixed.picture(n, pictures.__getitem__)[0, 0, 0]) for n in range(3)]
    assert shown == [175, 150, 7]
    rows = mixed.targets(np.eye(3, dtype=np.float32))
    np.testing.assert_allclose(rows, [[0.75, 0.25, 0], [0.5, 0.5, 0], [0, 0, 1]])
    assert rows.dtype == np.float32


def test_without_a_mixture_nothing_changes() -> None:
    rows = np.random.default_rng(0).random((5, 3), np.float32)
    np.testing.assert_array_equal(unmixed(5).targets(rows), rows)
    assert unmixed(5).picture(3, lambda n: np.full((1,), n)) == [3]


@pytest.mark.parametrize(("alpha", "middle"), [(0.1, False), (8.0, True)])
def test_alpha_says_how_much_is_mixed(alpha: float, middle: bool) -> None:
    weight = mixture([0] * 500, alpha, np.random.default_rng(0)).weight
    assert (((weight > 0.25) & (weight < 0.75)).mean() > 0.5) == middle


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    root = layouts.everything(tmp_path_factory.mktemp("data"), count=10)
    return Recipe.model_validate(
        {
            "data": {
                "root": str(root),
                "cache": str(root / "cache"),
                "shares": {"FairFace": 0.5, "FERPlus": 0.5},
            },
            "augment": {"mixup": 1.0},
            "sizes": (32,),
            "stage_shares": (1.0,),
            "optimiser": {"images": 32, "batch_size": 8},
        }
    )


@pytest.fixture(scope="module")
def sources(recipe: Recipe) -> list[Source]:
    return open_sources(recipe)[0]


def without_mixup(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"augment": recipe.augment.model_copy(update={"mixup": 0.0})})


def test_a_batch_is_the_same_faces_mixed(recipe: Recipe, sources: list[Source]) -> None:
    mixed, plain = (StepBatches(sources, r)[1] for r in (recipe, without_mixup(recipe)))
    assert not torch.equal(mixed.pixels, plain.pixels)
    low, high = plain.pixels.amin(dim=0), plain.pixels.amax(dim=0)
    assert ((mixed.pixels >= low) & (mixed.pixels <= high)).all()
    for task, rows in mixed.targets.items():
        torch.testing.assert_close(rows.sum(dim=1), plain.targets[task].sum(dim=1))
        assert rows.is_contiguous()
    assert any(
        (rows.amax(dim=1) < plain.targets[t].amax(dim=1)).any() for t, rows in mixed.targets.items()
    )


def test_it_is_a_function_of_the_step_and_of_no_part(recipe: Recipe, sources: list[Source]) -> None:
    """Partners are drawn over the whole batch: two processes show what one would."""
    whole = StepBatches(sources, recipe)[2]
    assert torch.equal(StepBatches(sources, recipe)[2].pixels, whole.pixels)
    for rank in range(2):
        part = StepBatches(sources, recipe, slice(rank, None, 2))[2]
        assert torch.equal(part.pixels, whole.pixels[rank::2])
        for task, rows in part.targets.items():
            assert torch.equal(rows, whole.targets[task][rank::2])
