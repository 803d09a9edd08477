"""Adapters on towers alone: fresh ones change nothing, merged ones keep their outputs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from fsb_perception.adapters import ADAPTERS, adapter_config, adapter_settings, method_name
from fsb_perception.adapters.streams import TaskTower
from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_perception.towers.backbones import BACKBONES
from tests.towers import MICRO, noise, plain_tower

TASKS = ("gender", "age_group", "emotion")
LOW_RANK: Mapping[str, dict[str, Any]] = {
    "LoRA": {"method": "lora", "rank": 4},
    "rsLoRA": {"method": "lora", "rank": 4, "rslora": True},
    "DoRA": {"method": "dora", "rank": 4},
    "PiSSA": {"method": "lora", "rank": 4, "init": "pissa"},
    "OLoRA": {"method": "lora", "rank": 4, "init": "olora"},
    "MTLoRA matrix": {"method": "mtlora", "rank": 4, "blocks": 2, "mode": "matrix"},
    "MTLoRA matrixv2": {"method": "mtlora", "rank": 4, "blocks": 2, "mode": "matrixv2"},
    "MTLoRA exact": {"method": "mtlora", "rank": 4, "blocks": 2, "mode": "exact"},
}
FROM_ZERO = [name for name, row in LOW_RANK.items() if row.get("init", "zero") == "zero"]
on_both_families = pytest.mark.parametrize("backbone", MICRO)


def tower(backbone: str, dtype: torch.dtype = torch.float32) -> nn.Module:
    return plain_tower(backbone, seed=3).to(dtype)


@torch.no_grad()
def features(adapted: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """(tasks, n, width); one for all where the tower gives one for all."""
    rows = adapted(inputs)
    return torch.stack(list(rows.values()) if isinstance(rows, dict) else [rows])


def distance(seen: torch.Tensor, due: torch.Tensor) -> float:
    """Largest relative error of a feature vector, in float64."""
    seen, due = seen.double(), due.double().expand_as(seen)
    return float(((seen - due).norm(dim=-1) / due.norm(dim=-1)).max())


def stirred(adapted: nn.Module) -> nn.Module:
    """Low-rank factors as after training: none of them zero."""
    generator = torch.Generator().manual_seed(5)
    for parameter in adapted.parameters():
        if parameter.requires_grad and parameter.ndim == 2:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return adapted.eval()


@pytest.mark.parametrize("system", LOW_RANK)
@on_both_families
def test_a_fresh_adapter_changes_nothing(system: str, backbone: str) -> None:
    plain = features(tower(backbone), noise(backbone))
    fresh = adapter_config(LOW_RANK[system]).adapt(tower(backbone), TASKS).eval()
    assert distance(features(fresh, noise(backbone)), plain) < 1e-5


@pytest.mark.parametrize("system", FROM_ZERO)
@on_both_families
def test_in_float64_it_changes_nothing_at_all(system: str, backbone: str) -> None:
    inputs = noise(backbone).double()
    plain = features(tower(backbone, torch.float64), inputs)
    fresh = adapter_config(LOW_RANK[system]).adapt(tower(backbone, torch.float64), TASKS)
    assert distance(features(fresh.double().eval(), inputs), plain) < 1e-9


@pytest.mark.parametrize("system", LOW_RANK)
@on_both_families
def test_merged_it_says_the_same_and_rebuilt_it_takes_the_weights(
    system: str, backbone: str
) -> None:
    config = adapter_config(LOW_RANK[system])
    trained = stirred(config.adapt(tower(backbone), TASKS))
    due = features(trained, noise(backbone))
    assert distance(due, features(tower(backbone), noise(backbone))) > 1e-3
    merged = config.merge(copy.deepcopy(trained)).eval()
    assert distance(features(merged, noise(backbone)), due) < 1e-5
    rebuilt = config.rebuild(tower(backbone), TASKS).eval()
    rebuilt.load_state_dict(merged.state_dict())
    assert distance(features(rebuilt, noise(backbone)), features(merged, noise(backbone))) < 1e-6
    assert isinstance(rebuilt, TaskTower) != config.merges


@pytest.mark.parametrize("system", LOW_RANK)
@on_both_families
def test_merging_in_float32_and_casting_once_costs_no_precision(system: str, backbone: str) -> None:
    """Against float32: merged then bfloat16, and all of it in bfloat16 without merging."""
    config = adapter_config(LOW_RANK[system])
    trained = stirred(config.adapt(tower(backbone), TASKS))
    inputs = noise(backbone, 16)
    due = features(trained, inputs)
    halves = inputs.bfloat16()
    unmerged = features(copy.deepcopy(trained).bfloat16(), halves)
    merged = features(config.merge(copy.deepcopy(trained)).bfloat16(), halves)
    assert 0 < _mean_error(merged, due) <= 1.5 * _mean_error(unmerged, due)


def _mean_error(seen: torch.Tensor, due: torch.Tensor) -> float:
    return float((seen.double() - due.double()).norm() / due.double().norm())


@pytest.mark.parametrize("init", ["pissa", "olora"])
@on_both_families
def test_a_start_from_w_itself_is_found_again_on_the_original(init: str, backbone: str) -> None:
    """A and B are trained; the rest of W is computed again from the original, in float32."""
    config = adapter_config({"method": "lora", "rank": 4, "init": init})
    trained = stirred(config.adapt(tower(backbone), TASKS))
    learned = {name: p for name, p in trained.named_parameters() if p.requires_grad}
    assert learned
    assert all(p.dtype == torch.float32 for p in learned.values())
    again = config.adapt(tower(backbone), TASKS).eval()
    again.load_state_dict(learned, strict=False)
    due = features(trained, noise(backbone))
    assert distance(features(again, noise(backbone)), due) < 1e-5


@pytest.mark.parametrize("layer", ["blocks.1.attn.qkv", "blocks.2.mlp.fc2", "attn_pool.kv"])
@pytest.mark.parametrize("rslora", [False, True])
@on_both_families
def test_lora_is_its_formula(layer: str, rslora: bool, backbone: str) -> None:
    """y = (W + s B A) x + b, by hand, on the very tower that open_clip would build."""
    rank, alpha = 4, 8.0
    weight = tower(backbone).get_submodule(layer).weight.clone()
    bias = tower(backbone).get_submodule(layer).bias.clone()
    config = adapter_config({"method": "lora", "rank": rank, "alpha": alpha, "rslora": rslora})
    adapted = stirred(config.adapt(tower(backbone), TASKS))
    module = adapted.get_submodule(f"base_model.model.{layer}")
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    scale = alpha / (rank**0.5 if rslora else rank)
    x = torch.randn(2, 5, weight.shape[1])
    due = x @ (weight + scale * b @ a).T + bias
    torch.testing.assert_close(module(x), due, rtol=1e-4, atol=1e-5)
    merged = config.merge(adapted).get_submodule(layer)
    torch.testing.assert_close(merged.weight, weight + scale * b @ a, rtol=1e-5, atol=1e-6)


def test_dora_is_its_formula() -> None:
    config = adapter_config({"method": "dora", "rank": 4})
    adapted = stirred(config.adapt(tower("PE-Core-micro"), TASKS))
    module = adapted.get_submodule("base_model.model.blocks.0.mlp.fc1")
    magnitude = module.lora_magnitude_vector["default"].weight
    magnitude.data *= 1.3
    turned = module.base_layer.weight + module.lora_B["default"].weight @ (
        module.lora_A["default"].weight
    )
    due = magnitude[:, None] * turned / turned.norm(dim=1, keepdim=True)
    merged = config.merge(adapted).get_submodule("blocks.0.mlp.fc1")
    torch.testing.assert_close(merged.weight, due, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ADAPTERS)
def test_settings_make_the_same_method_again(method: str) -> None:
    config = adapter_config({"method": method})
    assert method_name(config) == method
    assert adapter_config(adapter_settings(config)) == config


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, OptionError, "name a method"),
        ({"method": "lore"}, UnknownNameError, "Did you mean 'lora'"),
        ({"method": "lora", "rnk": 4}, UnknownNameError, "rank"),
        ({"method": "lora", "rank": 0}, OptionError, "rank: got 0"),
        ({"method": "lora", "init": "zeros"}, OptionError, "zero, pissa, olora"),
        ({"method": "dora", "dropout": 0.1}, OptionError, "DoRA needs 0"),
        ({"method": "dora", "init": "pissa"}, OptionError, "begins from zero"),
        ({"method": "mtlora", "rank": 0}, OptionError, "rank: got 0"),
        ({"method": "mtlora", "mode": "matrx"}, OptionError, "matrixv2"),
    ],
)
def test_wrong_settings_are_named(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        adapter_config(settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "lora", "targets": "blocks.9.*"}, "matches no linear layer; the tower has"),
        ({"method": "lora", "targets": "blocks.(attn"}, "no regular expression"),
        ({"method": "partial", "blocks": 5}, "got 5, the tower has 4"),
        ({"method": "mtlora", "blocks": 5}, "got 5, the tower has 4"),
        ({"method": "mtlora", "targets": "nothing"}, "matches no linear layer"),
    ],
)
def test_what_a_tower_cannot_do_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        adapter_config(settings).adapt(tower("PE-Core-micro"), TASKS)


@pytest.mark.parametrize("method", ["zero-shot", "softcpt", "vpt-softcpt", "v2pt-softcpt"])
def test_text_is_refused_to_a_tower_without_it(method: str) -> None:
    with pytest.raises(OptionError, match="nano-vit-80 has no text tower"):
        adapter_config({"method": method}).check(BACKBONES["nano-vit-80"], TASKS)
