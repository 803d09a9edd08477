"""Variational prompts are made of each picture by the formulas, in one pass."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal, kl_divergence

from fsb_perception.adapters import adapter_config
from fsb_perception.heads import build_head
from fsb_perception.model import MultitaskEncoder
from fsb_perception.options import OptionError
from fsb_perception.towers.backbones import BACKBONES
from tests.towers import MICRO, noise, plain_tower

TASKS = ("gender", "emotion")
OPTIONS: dict[str, Any] = {
    "method": "v2pt",
    "prompts": 6,
    "generated": 4,
    "latent": 5,
    "hidden": 16,
    "beta": 0.1,
}
LEARNED, LATENT = 2, 5
rows = pytest.mark.parametrize("row", MICRO)


def prompted(row: str, seed: int = 0, **options: Any) -> Any:
    tower = plain_tower(row)
    torch.manual_seed(seed)
    return adapter_config(OPTIONS | options).adapt(tower, TASKS).eval()


def tokens_of(tower: Any, inputs: torch.Tensor) -> torch.Tensor:
    """Return the first block's input: class token, if there is one, and patches."""
    caught = []
    hook = tower.source.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    with torch.no_grad():
        tower(inputs)
    hook.remove()
    assert len(caught) == 1
    return caught[0]


def code_of(tower: Any, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and log variance of z by hand, from the weights alone."""
    weights = tower.source.state_dict()
    patches = tokens[:, tower.tower.num_prefix_tokens :].mean(1)
    normed = F.layer_norm(patches, patches.shape[1:])
    hidden = F.gelu(F.linear(normed, weights["encoder.1.weight"], weights["encoder.1.bias"]))
    mean = F.linear(hidden, weights["mean.weight"], weights["mean.bias"])
    return mean, F.linear(hidden, weights["log_variance.weight"], weights["log_variance.bias"])


def decoded(tower: Any, code: torch.Tensor) -> torch.Tensor:
    weights = tower.source.state_dict()
    hidden = F.gelu(F.linear(code, weights["decoder.0.weight"], weights["decoder.0.bias"]))
    rows = F.linear(hidden, weights["decoder.2.weight"], weights["decoder.2.bias"])
    return rows.reshape(len(code), OPTIONS["generated"], -1)


def distance(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, relative: the features of a fresh PE-Core are of order 1e-5."""
    return ((actual - expected).abs().max() / expected.abs().max()).item()


@rows
def test_made_prompts_differ_between_faces_and_learned_do_not(row: str) -> None:
    tower = prompted(row)
    prompts = tower.source(tokens_of(tower, noise(row)))
    assert prompts.shape == (3, OPTIONS["prompts"], 64)
    assert torch.equal(prompts[:, :LEARNED], tower.source.prompt.expand(3, -1, -1))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert distance(prompts[one, LEARNED:], prompts[other, LEARNED:]) > 1e-3


@rows
def test_evaluation_takes_the_mean(row: str) -> None:
    tower, inputs = prompted(row), noise(row)
    tokens = tokens_of(tower, inputs)
    mean, _ = code_of(tower, tokens)
    assert distance(tower.source(tokens)[:, LEARNED:], decoded(tower, mean)) < 1e-5
    with torch.no_grad():
        assert torch.equal(tower(inputs), tower(inputs))
    assert tower.penalty() is None


@rows
def test_training_draws_around_the_mean(row: str) -> None:
    tower = prompted(row).train()
    tokens = tokens_of(tower, noise(row))
    mean, log_variance = code_of(tower, tokens)
    torch.manual_seed(5)
    first = tower.source(tokens)
    torch.manual_seed(5)
    z = mean + (log_variance / 2).exp() * torch.randn(3, LATENT)
    assert distance(first[:, LEARNED:], decoded(tower, z)) < 1e-5
    assert distance(tower.source(tokens), first) > 1e-3


@rows
def test_the_penalty_is_the_divergence_and_is_taken_once(row: str) -> None:
    tower = prompted(row).train()
    mean, log_variance = code_of(tower, tokens_of(tower, noise(row)))
    posterior = Normal(mean, (log_variance / 2).exp())
    expected = 0.1 * kl_divergence(posterior, Normal(0.0, 1.0)).sum(1).mean()
    encoder = with_heads(row, tower).train()
    encoder(noise(row))
    penalty = encoder.penalty()
    assert penalty is not None
    assert penalty.item() > 0
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-4)
    assert encoder.penalty() is None


@rows
@pytest.mark.parametrize("beta", [0.1, 0.0])
def test_all_of_the_autoencoder_moves_and_nothing_else(row: str, beta: float) -> None:
    tower = prompted(row, beta=beta).train()
    before = {name: p.detach().clone() for name, p in tower.named_parameters()}
    trained = {name for name, p in tower.named_parameters() if p.requires_grad}
    assert {name.removeprefix("tower.blocks.0.source.") for name in trained} == {
        "prompt",
        *(f"{layer}.{part}" for layer in _LAYERS for part in ("weight", "bias")),
    }
    optimiser = torch.optim.AdamW([p for p in tower.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):
        optimiser.zero_grad()
        (tower(noise(row)).sum() + tower.penalty()).backward()
        optimiser.step()
    moved = {name for name, p in tower.named_parameters() if not torch.equal(p, before[name])}
    assert moved == trained


_LAYERS = ("encoder.1", "mean", "log_variance", "decoder.0", "decoder.2")


@rows
def test_both_terms_of_the_loss_reach_the_variance(row: str) -> None:
    tower = prompted(row).train()
    weight = tower.source.log_variance.weight
    total = tower(noise(row)).sum()
    for term in (total, tower.penalty()):
        (gradient,) = torch.autograd.grad(term, weight, retain_graph=True)
        assert gradient.abs().max() > 0


@rows
def test_the_tower_runs_once_with_as_many_prompts_as_said(row: str) -> None:
    before, tower = plain_tower(row), prompted(row)
    seen: list[torch.Size] = []
    for block in (before.blocks[0], tower.tower.blocks[0].inner, tower.tower.blocks[3]):
        block.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    with torch.no_grad():
        before(noise(row)), tower(noise(row))
    n, t, width = seen[0]
    assert seen[1:] == [(n, t + OPTIONS["prompts"], width)] * 2


@rows
def test_a_fresh_one_is_finite_and_seeded(row: str) -> None:
    with torch.no_grad():
        first, again, other = (prompted(row, seed)(noise(row)) for seed in (3, 3, 4))
    assert first.isfinite().all()
    assert torch.equal(first, again)
    assert distance(other, first) > 1e-3


@rows
def test_the_deployed_tower_has_no_variance_and_loads_from_weights(row: str) -> None:
    config, tower = adapter_config(OPTIONS), prompted(row)
    with torch.no_grad():
        expected = tower(noise(row))
        deployed = config.merge(tower)
        rebuilt = config.rebuild(plain_tower(row, seed=9), TASKS).eval()
        rebuilt.load_state_dict(deployed.state_dict())
        assert not [name for name in rebuilt.state_dict() if "log_variance" in name]
        for form in (deployed, rebuilt, copy.deepcopy(rebuilt)):
            assert torch.equal(form(noise(row)), expected)


@rows
def test_the_structure_is_built_without_memory(row: str) -> None:
    with torch.device("meta"):
        tower = adapter_config(OPTIONS).rebuild(BACKBONES[row].build(), TASKS)
    expected = adapter_config(OPTIONS).merge(prompted(row)).state_dict()
    actual = tower.state_dict()
    assert {k: v.shape for k, v in actual.items()} == {k: v.shape for k, v in expected.items()}
    assert all(tensor.is_meta for tensor in actual.values())


def test_all_prompts_may_be_made() -> None:
    tower = prompted("SigLIP2-micro", prompts=4).train()
    tower(noise("SigLIP2-micro")).sum().backward()
    assert tower.source.prompt.shape == (0, 64)
    assert tower.source.decoder[0].weight.grad.abs().max() > 0


def test_a_tower_in_training_is_copied_without_its_graph() -> None:
    tower = prompted("PE-Core-micro").train()
    tower(noise("PE-Core-micro"))
    assert copy.deepcopy(tower).penalty() is None
    assert tower.penalty() is not None


def test_a_tower_with_dynamic_size_takes_any_picture() -> None:
    with torch.no_grad():
        assert prompted("nano-vit-80")(torch.rand(2, 3, 112, 96)).isfinite().all()


def with_heads(row: str, tower: nn.Module) -> MultitaskEncoder:
    heads = {task: build_head("linear", BACKBONES[row].width, 2) for task in TASKS}
    return MultitaskEncoder(tower, heads).eval()


@rows
def test_traced_and_exported_encoders_take_any_number_of_faces(row: str) -> None:
    encoder = with_heads(row, adapter_config(OPTIONS).merge(prompted(row)))
    inputs, faces = noise(row, 5), {0: torch.export.Dim("faces", min=1, max=64)}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of branches on the picture's size
        traced = torch.jit.freeze(
            torch.jit.trace(encoder, inputs[:1], strict=False, check_trace=False)
        )
        exported = torch.export.export(
            encoder, (inputs[:2],), dynamic_shapes=(faces,), strict=False
        ).module()
        for graph in (traced, exported):
            expected, actual = encoder(inputs), graph(inputs)
            assert all(distance(actual[task], expected[task]) < 1e-5 for task in TASKS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"generated": 7}, "generated: got 7, there are 6 prompts in all"),
        ({"generated": 0}, "generated: got 0"),
        ({"prompts": 0}, "prompts: got 0"),
        ({"latent": 0}, "latent: got 0"),
        ({"hidden": 0}, "hidden: got 0"),
        ({"beta": -0.1}, "beta: got -0.1"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        adapter_config(OPTIONS | options)
