"""Recipes that begin with a bundle's weights, and bundles that they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fsb_perception.bundles.bundle import load_bundle, save_bundle
from fsb_perception.bundles.encoder import build_encoder
from fsb_perception.bundles.manifest import BundleError, Manifest
from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_training.export import manifest_of
from fsb_training.judging.evaluate import learned_from
from fsb_training.learning.assembly import assemble, deploy
from fsb_training.learning.learner import Learner
from fsb_training.recipe import Recipe
from tests.bundles import random_bundle
from tests.training.systems import faces, labels, optimiser_of

NANO = "nano-vit-80"


def recipe_from(bundle: str | Path, **values: object) -> Recipe:
    settings = {
        "backbone": NANO, "weights": {"bundle": str(bundle)}, "sizes": (64,),
        "stage_shares": (1.0,), "data": {"shares": {"CSV": 1.0}}, "licence": "none",
    }  # fmt: skip
    return Recipe.model_validate(settings | values)


def logits(encoder: torch.nn.Module) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        return encoder.eval()(faces(NANO, 4, size=64))


@pytest.mark.parametrize("adapter", ["full", "linear", "lora", "dora"])
def test_it_begins_where_the_bundle_ended(adapter: str) -> None:
    """Cover LoRA too: a fresh adapter changes nothing."""
    encoder = assemble(recipe_from("nano", adapter={"method": adapter}))
    before = logits(load_bundle("nano").build_model())
    for task, rows in logits(encoder).items():
        torch.testing.assert_close(rows, before[task], rtol=1e-4, atol=1e-4)


def test_what_the_bundle_learned_from_is_said_of_what_goes_on_from_it() -> None:
    chosen = recipe_from("nano", data={"shares": {"FairFace": 0.5, "CSV": 0.5}})
    manifest = manifest_of(chosen, {}, {"FairFace": 10, "CSV": 7})
    before = {entry.name: entry for entry in load_bundle("nano").manifest.training_data}
    entries = {entry.name: entry for entry in manifest.training_data}
    assert entries.keys() == before.keys() | {"CSV"}
    assert {name: entries[name] for name in before} == before
    assert entries["CSV"].count == 7
    # FairFace it split by itself, UTKFace only the bundle before it, whose dev may be another one.
    specs = ["FairFace:dev", "FairFace:val", "FairFace:train", "UTKFace:dev", "CSV:test", "LFW:all"]
    assert learned_from(manifest, specs) == ["FairFace:train", "UTKFace:dev"]


@pytest.mark.parametrize("part", ["all", "train", "val", "fit"])
def test_a_part_that_holds_what_was_learned_is_said(part: str) -> None:
    manifest = manifest_of(
        recipe_from("", data={"shares": {"CelebA-HQ": 1.0}}), {}, {"CelebA-HQ": 5}
    )
    assert learned_from(manifest, [f"CelebA-HQ:{part}", "CelebA-HQ:test"]) == [f"CelebA-HQ:{part}"]


def test_lora_learns_on_it_and_merges_back() -> None:
    chosen = recipe_from("nano", adapter={"method": "lora", "rank": 4})
    torch.manual_seed(0)
    model = Learner(chosen).train()
    optimiser = optimiser_of(model, chosen)
    first = logits(model.encoder)
    losses = []
    for _ in range(5):
        loss = model.train()(faces(NANO, 8, size=64), labels(chosen.tasks))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    trained = logits(model.encoder)
    assert not torch.allclose(trained["gender"], first["gender"], atol=1e-3)
    merged = deploy(model.encoder, chosen.adapter)
    plain = load_bundle("nano").build_model()
    assert set(merged.tower.state_dict()) == set(plain.tower.state_dict())
    for task, rows in logits(merged).items():
        torch.testing.assert_close(rows, trained[task], rtol=1e-4, atol=1e-4)


def test_tasks_and_heads_that_it_lacks_begin_afresh(tmp_path: Path) -> None:
    before = load_bundle("nano").build_model()
    torch.manual_seed(0)
    encoder = assemble(recipe_from("nano", head="mlp"))
    assert not torch.allclose(logits(encoder)["gender"], logits(before)["gender"], atol=1e-2)
    one = random_bundle(
        tmp_path, tasks=[{"name": "gender", "labels": ["male", "female"]}], temperatures={}
    )
    encoder = assemble(recipe_from(tmp_path))
    continued, known = logits(encoder), logits(one.build_model())
    torch.testing.assert_close(continued["gender"], known["gender"])
    assert set(continued) == {"gender", "age_group", "emotion"}


def vpt_bundle(folder: Path) -> Path:
    manifest = random_bundle(folder / "plain").manifest.model_dump()
    prompts = Manifest.model_validate(manifest | {"adapter": {"method": "vpt"}, "files": {}})
    return save_bundle(folder / "vpt", prompts, build_encoder(prompts)).folder


@pytest.mark.parametrize(
    ("bundle", "values", "error", "texts"),
    [
        (
            "nano",
            {"backbone": "PE-Core-micro", "sizes": (32,)},
            OptionError,
            ("weights.bundle: nano is a nano-vit-80", "PE-Core-micro: make them the same"),
        ),
        ("vpt", {}, OptionError, ("was made by vpt, which leaves no plain tower", "take a bundle")),
        ("no/such/bundle", {}, BundleError, ("no/such/bundle",)),
        ("nono", {}, (BundleError, UnknownNameError), ("nono", "nano")),
    ],
)
def test_what_cannot_be_gone_on_from_is_said_in_a_line(
    tmp_path: Path,
    bundle: str,
    values: dict[str, object],
    error: type[Exception],
    texts: tuple[str, ...],
) -> None:
    chosen = recipe_from(vpt_bundle(tmp_path) if bundle == "vpt" else bundle, **values)
    with pytest.raises(error) as caught:
        assemble(chosen)
    assert "\n" not in str(caught.value)
    for text in texts:
        assert text in str(caught.value)
