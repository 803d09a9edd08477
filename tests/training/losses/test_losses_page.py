"""docs/losses.md names what there is, and its recipe is one."""

from __future__ import annotations

import re

import pytest
import yaml

from fsb_perception.options import build, flatten
from fsb_training.losses.by_task import LOSSES, check_losses
from fsb_training.losses.weighting import WEIGHTINGS
from fsb_training.recipe import Recipe
from fsb_training.recipe_options import LossOptions
from tests.paths import ROOT

PAGE = (ROOT / "docs/losses.md").read_text(encoding="utf-8")
# Of the loss, but not of balance: methods.md and the recipes have them.
ELSEWHERE = {"dropout", "stem"}


@pytest.mark.parametrize("name", [*LOSSES, *WEIGHTINGS])
def test_each_has_a_row(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(set(LossOptions.model_fields) - ELSEWHERE))
def test_each_option_is_explained(name: str) -> None:
    assert re.search(rf"`(loss\.)?{name}`", PAGE)


def test_its_recipe_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    recipe = build(Recipe, flatten(yaml.safe_load(text)))
    check_losses(recipe.loss, recipe.data)
    assert recipe.loss.by_task["age_group"] == "coral"
