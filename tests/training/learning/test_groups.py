from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fsb_training.errors import TrainingError
from fsb_training.learning.checkpoints import save
from fsb_training.learning.groups import parameter_groups, rate_of
from fsb_training.learning.learner import Learner
from fsb_training.learning.state import start
from fsb_training.recipe import Recipe
from fsb_training.recipe_options import OptimiserOptions
from fsb_training.systems import SYSTEMS
from tests.texts import word_tokenizer
from tests.towers import MICRO
from tests.training.systems import learner, recipe

OPTIONS = OptimiserOptions(learning_rate=1e-5, heads_ratio=10.0, loraplus_ratio=6.0)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return word_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def groups_of(model: Learner, chosen: Recipe) -> list[dict[str, Any]]:
    return parameter_groups(model.named_parameters(), OPTIONS, chosen.adapter, 2e-3)


@pytest.mark.parametrize(
    ("system", "backbone"), [(name, MICRO[n % 2]) for n, name in enumerate(SYSTEMS)]
)
def test_every_parameter_that_trains_is_in_one_group_and_no_other_is(
    system: str, backbone: str, tokenizer: Path
) -> None:
    chosen = recipe(system, backbone, tokenizer)
    model = learner(chosen)
    grouped = [p for group in groups_of(model, chosen) for p in group["params"]]
    trains = {id(p) for p in model.parameters() if p.requires_grad}
    assert sorted(map(id, grouped)) == sorted(trains)


@pytest.mark.parametrize("system", ["LoRA", "DoRA", "PiSSA", "MTLoRA matrix", "MTLoRA exact"])
@pytest.mark.parametrize("backbone", MICRO)
def test_the_high_rate_is_for_b_matrices_alone(system: str, backbone: str, tokenizer: Path) -> None:
    chosen = recipe(system, backbone, tokenizer)
    model = learner(chosen)
    names = {id(p): name for name, p in model.named_parameters()}
    rates: dict[float, set[str]] = {}
    for group in groups_of(model, chosen):
        rates.setdefault(round(group["lr"], 9), set()).update(names[id(p)] for p in group["params"])
    # By their shapes: of a low-rank pair, B is the one with as many columns as the rank.
    columns = {
        name
        for name, p in model.encoder.tower.named_parameters()
        if p.requires_grad and p.ndim == 2 and p.shape[1] == 4
    }
    columns = {f"encoder.tower.{name}" for name in columns}
    assert rates[6e-5] == columns
    assert rates[1e-4] == {name for name in names.values() if name.startswith("encoder.heads.")}


@pytest.mark.parametrize("system", SYSTEMS)
def test_tokens_vectors_and_loss_weights_do_not_decay(system: str, tokenizer: Path) -> None:
    chosen = recipe(system, "PE-Core-micro", tokenizer)
    model = learner(chosen)
    names = {id(p): name for name, p in model.named_parameters()}
    decayed = {
        names[id(p)]
        for group in groups_of(model, chosen)
        for p in group["params"]
        if group["weight_decay"]
    }
    kinds = (
        "prompt",
        "probe",
        "context",
        "text.meta",
        "magnitude",
        "log_variance",
        "log_scale",
        "bias",
        "norm",
        "latent",
    )
    own = {
        name: p for name, p in model.named_parameters() if p.requires_grad and name not in decayed
    }
    assert {name for name, p in own.items() if p.ndim >= 2} <= {
        name for name in own if any(kind in name for kind in (*kinds, "pos_embed", "cls_token"))
    }
    vectors = {name for name, p in model.named_parameters() if p.ndim < 2}
    assert not decayed & vectors
    tokens = {"prompt", "task_context"}
    assert not {name for name in decayed if tokens & set(name.split("."))}
    assert "weights.log_variance.gender" in own


def test_a_frozen_tower_leaves_the_optimiser_nothing_of_it(tokenizer: Path) -> None:
    chosen = recipe("linear probing", "PE-Core-micro", tokenizer)
    model = learner(chosen)
    tower = {id(p) for p in model.encoder.tower.parameters()}
    groups = groups_of(model, chosen)
    assert not tower & {id(p) for group in groups for p in group["params"]}
    assert isinstance(torch.optim.AdamW(groups), torch.optim.Optimizer)


def test_text_prompts_and_loss_weights_have_rates_of_their_own(tokenizer: Path) -> None:
    chosen = recipe("VPT-SoftCPT", "PE-Core-micro", tokenizer)
    model = learner(chosen)
    names = {id(p): name for name, p in model.named_parameters()}
    options = OptimiserOptions(learning_rate=1e-3, text_ratio=0.1)
    groups = parameter_groups(model.named_parameters(), options, chosen.adapter, 2e-3)
    rates = {names[id(p)]: group["lr"] for group in groups for p in group["params"]}
    text = {name: rate for name, rate in rates.items() if name.startswith("encoder.text.")}
    assert list(text.values()) == pytest.approx([1e-4] * len(text))
    assert "encoder.text.meta.0.weight" in text
    assert {rate for name, rate in rates.items() if "prompt" in name} == {1e-3}
    assert {rate for name, rate in rates.items() if name.startswith("weights.")} == {2e-3}
    assert {rate_of(g, 5e-4) for g in groups if g["factor"] == 0} == {2e-3}
    decayed = {names[id(p)] for g in groups if g["weight_decay"] for p in g["params"]}
    assert not decayed, "P, prompts and weights do not decay"


def test_a_run_goes_on_from_the_text_prompts_of_another(tokenizer: Path, tmp_path: Path) -> None:
    before = recipe("SoftCPT-CATS", "PE-Core-micro", tokenizer)
    state = start(before)
    with torch.no_grad():
        state.average.module.encoder.text.meta[0].weight.fill_(0.25)
    save(state, tmp_path)
    after = recipe("VPT-SoftCPT", "PE-Core-micro", tokenizer)
    weights = after.weights.model_copy(update={"prompts": str(tmp_path)})
    model = learner(after.model_copy(update={"weights": weights}))
    assert (model.encoder.text.meta[0].weight == 0.25).all()
    for chosen, where, message in (
        (after, tmp_path / "none", "there is no"),
        (recipe("CoOp", "PE-Core-micro", tokenizer), tmp_path, "no such prompts for text.contexts"),
    ):
        other = chosen.weights.model_copy(update={"prompts": str(where)})
        with pytest.raises(TrainingError, match=message):
            learner(chosen.model_copy(update={"weights": other}))
