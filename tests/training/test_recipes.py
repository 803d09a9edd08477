"""Recipes that ship, in every combination that is documented; and how one extends another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from fsb_perception.adapters import adapter_settings
from fsb_perception.adapters.lora import Lora
from fsb_perception.adapters.vpt import VisualPrompts
from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS
from fsb_training.cli import app
from fsb_training.commands.options import CONSOLE
from fsb_training.recipe import Recipe, load_recipe
from fsb_training.recipe_files import SHIPPED, find_recipe, shipped_recipes
from fsb_training.systems import SYSTEMS
from tests.sampling import REPRESENTATIVE, sampled

TRAINING_ALONE = ("dropout",)  # options of a recipe that change no structure
TOWERS = ("PE-Core-B-16", "ViT-B-16-SigLIP2")


def recipe_of(system: str) -> str:
    """Return the recipe with the name of its system: "VPT, text" is mission/vpt-text."""
    return f"mission/{re.sub('[ ,]+', '-', system.lower())}"


# Of the mission's, see below.
@pytest.mark.parametrize("name", [name for name in shipped_recipes() if "/" not in name])
def test_recipes_that_ship_are_valid(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.licence
    assert recipe.intended_use
    assert recipe.limits


def test_every_system_has_its_recipe_and_every_recipe_its_system() -> None:
    ours = {name for name in shipped_recipes() if name.startswith("mission/")}
    assert ours == {recipe_of(system) for system in SYSTEMS}


def combination(system: str, tower: str, tasks: Sequence[str]) -> Recipe:
    """Load a system's recipe with tower and tasks by two settings, as documented."""
    return load_recipe(recipe_of(system), [f"backbone={tower}", f"tasks={list(tasks)}"])


@pytest.mark.parametrize(
    "system", sampled([(name,) for name in SYSTEMS], [(name,) for name in REPRESENTATIVE])
)
def test_a_recipe_is_its_system_on_both_towers(system: str) -> None:
    # Each tower with one form of two: what could differ is the tower or the form, not the pair.
    for tower, tasks in zip(TOWERS, (tuple(TASKS), ("emotion",)), strict=True):
        recipe = combination(system, tower, tasks)
        adapter = adapter_settings(recipe.adapter)
        own = adapter_settings(SYSTEMS[system].adapter(64))
        kept = {name: own[name] for name in own if name in TRAINING_ALONE}
        assert adapter | kept == own
        assert recipe.head == SYSTEMS[system].head
        assert (recipe.backbone, recipe.tasks, recipe.sizes) == (tower, tasks, (224,))
        assert all((recipe.licence, recipe.intended_use, recipe.limits))


def test_no_two_combinations_share_a_run() -> None:
    forms = (tuple(TASKS), ("gender",), ("age_group",), ("emotion",))
    names = [combination("linear probing", t, form).name for t in TOWERS for form in forms]
    names += [combination("VPT", t, form).name for t in TOWERS for form in forms]
    assert len(set(names)) == 16
    assert "linear-probing-vit-b-16-siglip2-emotion" in names
    assert "vpt-pe-core-b-16-multi" in names


def test_a_size_of_0_is_the_backbones_own() -> None:
    assert load_recipe("mission/linear-probing", ["backbone=PE-Core-L-14-336"]).sizes == (336,)


def test_words_on_use_are_not_copied() -> None:
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in SHIPPED.rglob("*.yaml")]
    for key in ("licence", "intended_use", "limits"):
        texts = [values[key] for values in files if key in values]
        assert len(set(texts)) == len(texts)


def test_recipes_are_listed_with_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CONSOLE, "width", 160)
    listing = CliRunner().invoke(app, ["recipes"])
    assert listing.exit_code == 0
    for name, words in shipped_recipes().items():
        assert re.search(rf"{re.escape(name)} +│ {re.escape(words[:40])}", listing.output)


# One recipe over another.

BASE = {
    "name": "base",
    "backbone": "PE-Core-micro",
    "sizes": [32],
    "stage_shares": [1.0],
    "head": "mlp",
    "adapter": {"method": "lora", "rank": 4, "alpha": 8},
    "data": {"shares": {"FairFace": 0.5, "UTKFace": 0.5}, "dev_share": 0.3},
}


def written(folder: Path, **files: object) -> Path:
    """``base.yaml`` and a file each; returns the last."""
    path = folder / "base.yaml"
    path.write_text(yaml.safe_dump(BASE), encoding="utf-8")
    for name, values in files.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def test_mappings_merge_key_by_key_along_a_chain(tmp_path: Path) -> None:
    middle = {"extends": "base.yaml", "name": "middle", "adapter": {"rank": 2}, "seed": 3}
    top = {"extends": "middle.yaml", "name": "top", "data": {"dev_share": 0.4}}
    recipe = load_recipe(written(tmp_path, middle=middle, top=top), ["adapter.alpha=16"])
    assert (recipe.name, recipe.seed, recipe.head) == ("top", 3, "mlp")
    assert recipe.adapter == Lora(rank=2, alpha=16)
    assert (recipe.data.dev_share, recipe.data.split_seed) == (0.4, 0)
    assert recipe.data.shares == {"FairFace": 0.5, "UTKFace": 0.5}


def test_shares_and_another_method_are_taken_whole(tmp_path: Path) -> None:
    other = {"method": "vpt", "prompts": 3}
    top = {"extends": "base.yaml", "adapter": other, "data": {"shares": {"RAF-DB": 1.0}}}
    recipe = load_recipe(written(tmp_path, top=top))
    assert recipe.adapter == VisualPrompts(prompts=3)
    assert recipe.data.shares == {"RAF-DB": 1.0}
    assert recipe.data.dev_share == 0.3


def test_extends_is_relative_to_the_file_or_names_one_that_ships(tmp_path: Path) -> None:
    path = written(tmp_path, **{"below/top": {"extends": "../base.yaml", "name": "top"}})
    assert load_recipe(path).backbone == "PE-Core-micro"
    path = written(tmp_path, mine={"extends": "mission/vpt-deep", "adapter": {"prompts": 5}})
    assert load_recipe(path).adapter == VisualPrompts(prompts=5, deep=True)
    assert load_recipe(path).name == "mine-pe-core-b-16-multi"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": {"extends": "b.yaml"}, "b": {"extends": "a.yaml"}}, "b.yaml.*loop: b.* -> a.* -> b"),
        ({"a": {"extends": "a.yaml"}}, "a.yaml: recipes extend each other in a loop: a.yaml -> a"),
        ({"a": {"extends": "bse.yaml"}}, "a.yaml: extends: unknown recipe or file 'bse.yaml'"),
        ({"a": {"extends": ["base.yaml"]}}, r"a.yaml: extends: got \['base.yaml'\], give the path"),
        ({"b": ["base"], "a": {"extends": "b.yaml"}}, "b.yaml must hold a mapping of options"),
    ],
)
def test_what_cannot_be_extended_is_named(
    tmp_path: Path, files: dict[str, object], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        load_recipe(written(tmp_path, **files))


def test_a_recipe_that_is_nowhere_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'mission/lara'. Did you mean 'mission/lora'"):
        find_recipe("mission/lara")
    own = written(tmp_path, nano={"extends": "base.yaml"})
    assert find_recipe("nano.yaml", tmp_path) == own  # what lies here comes first
    assert find_recipe("nano.yaml", tmp_path / "else") == SHIPPED / "nano.yaml"
