"""Random changes of a picture: each option at zero changes nothing, and sides stay sides."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fsb_perception.alignment import Aligner
from fsb_perception.tasks import TASKS
from fsb_perception.types import Face, Image
from fsb_training.data.augment import augmented
from fsb_training.recipe import Recipe
from fsb_training.recipe_options import AugmentOptions

NOTHING = dict.fromkeys(AugmentOptions.model_fields, 0.0)
FACE = Face(box_xyxy=np.array([8, 8, 56, 56], np.float32), score=1.0)
ALIGNER = Aligner(48, "box")


def picture() -> Image:
    """Return a grey picture whose right half is bright."""
    image = np.full((64, 64, 3), 60, np.uint8)
    image[:, 32:] = 180
    return image


def variants(options: AugmentOptions, count: int = 40) -> list[Image]:
    rngs = map(np.random.default_rng, range(count))
    return [augmented(picture(), FACE, ALIGNER, options, rng) for rng in rngs]


def options(**changed: float) -> AugmentOptions:
    return AugmentOptions.model_validate(NOTHING | changed)


def is_mirrored(image: Image) -> bool:
    return bool(image[:, :10].mean() > image[:, -10:].mean())


def test_with_every_option_at_zero_a_picture_stays_as_it_is() -> None:
    first, *others = variants(options(), 8)
    assert all((other == first).all() for other in others)
    assert np.ptp(first, axis=2).max() == 0


@pytest.mark.parametrize(("flip", "least", "most"), [(0.0, 0, 0), (0.5, 8, 32), (1.0, 40, 40)])
def test_flip_is_the_share_that_is_mirrored(flip: float, least: int, most: int) -> None:
    assert least <= sum(map(is_mirrored, variants(options(flip=flip)))) <= most


def test_tint_and_stretch_are_options() -> None:
    assert max(int(np.ptp(image, axis=2).max()) for image in variants(options(tint=0.3))) > 20
    plain, *_ = variants(options())
    assert any((image != plain).any() for image in variants(options(stretch=0.3)))


def test_a_task_that_says_left_from_right_switches_mirroring_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = Recipe(tasks=("gender", "emotion"))
    assert both.augmentation.flip == 0.5
    sided = dataclasses.replace(TASKS["emotion"], sided=True)
    monkeypatch.setitem(TASKS._parts, "emotion", sided)
    assert both.augmentation.flip == 0.0
    assert Recipe(tasks=("gender",)).augmentation.flip == 0.5
    assert both.augmentation.model_copy(update={"flip": 0.5}) == both.augment
