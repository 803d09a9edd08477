"""Visual prompt tuning: exact where nothing changes, and nothing moves but the prompts."""

from __future__ import annotations

import copy
import itertools
import math
import warnings
from typing import Any

import pytest
import torch
from torch import nn

from fsb_perception.adapters import adapter_config
from fsb_perception.adapters.prefix import Prompted
from fsb_perception.adapters.streams import TaskTower
from fsb_perception.heads import build_head
from fsb_perception.model import MultitaskEncoder
from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_perception.towers.backbones import BACKBONES
from tests.towers import MICRO, noise, plain_tower

TASKS = ("gender", "age_group", "emotion")
SHAPES = tuple(
    {"deep": deep, "per_task": per_task} for deep, per_task in itertools.product((0, 1), (0, 1))
)
rows = pytest.mark.parametrize("row", MICRO)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "-".join(k for k in s if s[k]))


def prompted(row: str, seed: int = 0, **options: Any) -> Any:
    tower = plain_tower(row)
    torch.manual_seed(seed)
    return adapter_config({"method": "vpt", **options}).adapt(tower, TASKS).eval()


def features(tower: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """(n, width), or (tasks n, width) of a tower with features for each task."""
    rows = tower(inputs)
    return torch.cat(list(rows.values())) if isinstance(rows, dict) else rows


def inner(tower: Any) -> Any:
    return tower.tower if isinstance(tower, TaskTower) else tower


def real_blocks(tower: Any) -> list[Any]:
    """Return timm's blocks out of the modules around them."""
    blocks = []
    for block in inner(tower).blocks:
        while hasattr(block, "inner"):
            block = block.inner
        blocks.append(block)
    return blocks


def sources(tower: nn.Module) -> list[Any]:
    return [module.source for module in tower.modules() if isinstance(module, Prompted)]


def distance(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, relative: the features of a fresh PE-Core are of order 1e-5."""
    return ((actual - expected).abs().max() / expected.abs().max()).item()


@shapes
@pytest.mark.parametrize(
    ("row", "grad"), [*itertools.product(MICRO, (False, True)), ("nano-vit-80", False)]
)
def test_no_prompts_change_no_bit(row: str, shape: dict[str, bool], grad: bool) -> None:
    inputs = noise(row)
    batch = inputs.repeat(len(TASKS), 1, 1, 1) if shape["per_task"] else inputs
    with torch.set_grad_enabled(grad):
        assert torch.equal(
            features(prompted(row, prompts=0, **shape), inputs), plain_tower(row)(batch)
        )


@rows
@shapes
def test_fresh_prompts_are_finite_seeded_and_seen(row: str, shape: dict[str, bool]) -> None:
    inputs = noise(row)
    with torch.no_grad():
        first, again, other = (
            features(prompted(row, seed=seed, **shape), inputs) for seed in (3, 3, 4)
        )
        assert distance(first[: len(inputs)], plain_tower(row)(inputs)) > 1e-3
    assert first.isfinite().all()
    assert torch.equal(first, again)
    assert distance(other, first) > 1e-3


@rows
@shapes
def test_prompts_before_the_norm_are_normalised_with_the_picture(
    row: str, shape: dict[str, bool]
) -> None:
    """Compute by hand: [class | prompts | patches] -> the norm in front of the blocks -> blocks."""
    inputs = noise(row)
    with torch.no_grad():
        tower = prompted(row, prompts=3, place="before-norm", init="normal", **shape)
        plain = plain_tower(row)
        placed = plain._pos_embed(plain.patch_embed(inputs))
        rope = plain.rope.get_embed() if isinstance(placed, tuple) else None
        tokens = placed[0] if isinstance(placed, tuple) else placed
        start = plain.num_prefix_tokens
        for block in plain.blocks:
            if hasattr(block.attn, "num_prefix_tokens"):
                block.attn.num_prefix_tokens += 3
        for index, task in enumerate(TASKS if shape["per_task"] else ("",)):
            sets = [s.prompt[task] if task else s.prompt for s in sources(tower)]
            prompts = [own.expand(len(inputs), -1, -1) for own in sets]
            x = torch.cat((tokens[:, :start], prompts[0], tokens[:, start:]), dim=1)
            x = plain.norm_pre(x)
            for depth, block in enumerate(plain.blocks):
                if depth and shape["deep"]:
                    x = torch.cat((x[:, :start], prompts[depth], x[:, start + 3 :]), dim=1)
                x = block(x) if rope is None else block(x, rope=rope)
            expected = plain.forward_head(plain.norm(x))
            part = features(tower, inputs)[index * len(inputs) : (index + 1) * len(inputs)]
            assert distance(part, expected) < 1e-4


@rows
def test_normal_prompts_are_of_mean_zero_and_deviation_one(row: str) -> None:
    prompt = sources(prompted(row, prompts=200, init="normal"))[0].prompt.detach()
    assert abs(prompt.mean().item()) < 0.05
    assert prompt.std().item() == pytest.approx(1, abs=0.05)


@rows
def test_prompts_begin_within_the_bound_of_the_paper(row: str) -> None:
    patch, width = BACKBONES[row].patch, 64
    bound = math.sqrt(6 / (3 * patch**2 + width))
    prompt = sources(prompted(row, prompts=50))[0].prompt
    assert prompt.shape == (50, width)
    assert 0.99 * bound < prompt.abs().max() <= bound
    assert abs(prompt.mean()) < 0.1 * bound


@rows
@shapes
def test_blocks_see_prompts_between_class_token_and_patches(
    row: str, shape: dict[str, bool]
) -> None:
    seen: dict[str, list[torch.Tensor]] = {"plain": [], "prompted": []}

    def record(name: str) -> Any:
        return lambda _, inputs: seen[name].append(inputs[0])

    before, tower = plain_tower(row), prompted(row, prompts=5, **shape)
    for block in real_blocks(before):
        block.register_forward_pre_hook(record("plain"))
    for block in real_blocks(tower):
        block.register_forward_pre_hook(record("prompted"))
    with torch.no_grad():
        before(noise(row)), tower(noise(row))

    start, copies = before.num_prefix_tokens, len(TASKS) if shape["per_task"] else 1
    n, t, width = seen["plain"][0].shape
    assert [tokens.shape for tokens in seen["prompted"]] == [(copies * n, t + 5, width)] * 4
    first = seen["prompted"][0]
    rest = torch.cat((first[:, :start], first[:, start + 5 :]), dim=1)
    assert torch.equal(rest, seen["plain"][0].repeat(copies, 1, 1))
    for tokens, source in zip(seen["prompted"], sources(tower), strict=False):
        sets = [source.prompt[task] for task in TASKS] if copies > 1 else [source.prompt]
        expected = torch.stack(sets).repeat_interleave(n, dim=0)
        assert torch.equal(tokens[:, start : start + 5], expected)


@rows
def test_prompts_have_no_position(row: str) -> None:
    tower = prompted(row, prompts=6)
    with torch.no_grad():
        expected = tower(noise(row))
        prompt = sources(tower)[0].prompt
        prompt.copy_(prompt.flip(0))
        assert distance(tower(noise(row)), expected) < 1e-5


@rows
@shapes
def test_only_prompts_move(row: str, shape: dict[str, bool]) -> None:
    tower = prompted(row, prompts=4, **shape).train()
    before = {name: p.detach().clone() for name, p in tower.named_parameters()}
    trained = {name for name, p in tower.named_parameters() if p.requires_grad}
    sets = (4 if shape["deep"] else 1) * (len(TASKS) if shape["per_task"] else 1)
    assert len(trained) == sets
    assert all("prompt" in name.split(".") for name in trained)

    optimiser = torch.optim.AdamW([p for p in tower.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):
        optimiser.zero_grad()
        features(tower, noise(row)).sum().backward()
        optimiser.step()
    moved = {name for name, p in tower.named_parameters() if not torch.equal(p, before[name])}
    assert moved == trained


@rows
@pytest.mark.parametrize("deep", [False, True])
def test_all_tasks_at_once_equal_each_alone(row: str, deep: bool) -> None:
    tower = prompted(row, per_task=True, deep=deep)
    with torch.no_grad():
        together = tower(noise(row))
        assert tuple(together) == TASKS
        assert distance(together["gender"], together["emotion"]) > 1e-3
        for task in TASKS:
            alone = tower(noise(row), [task])
            assert tuple(alone) == (task,)
            assert distance(alone[task], together[task]) < 1e-5


@rows
@pytest.mark.parametrize("deep", [False, True])
def test_a_task_without_labels_has_no_gradient(row: str, deep: bool) -> None:
    encoder = with_heads(row, prompted(row, per_task=True, deep=deep)).train()
    some = torch.tensor([True, True, False])
    labelled = {"gender": some, "age_group": ~some, "emotion": torch.zeros(3, dtype=torch.bool)}
    logits = encoder(noise(row), labelled)
    torch.cat([rows.square().flatten() for rows in logits.values()]).sum().backward()
    for name, parameter in encoder.tower.named_parameters():
        wanted = "prompt" in name.split(".") and not name.endswith("emotion")
        assert (parameter.grad is not None) == wanted, name


@rows
@shapes
def test_weights_load_into_what_a_bundle_rebuilds(row: str, shape: dict[str, bool]) -> None:
    config = adapter_config({"method": "vpt", "prompts": 3, **shape})
    deployed = config.merge(prompted(row, prompts=3, **shape))
    rebuilt = config.rebuild(plain_tower(row, seed=9), TASKS).eval()
    rebuilt.load_state_dict(deployed.state_dict())
    with torch.no_grad():
        expected = features(deployed, noise(row))
        assert torch.equal(features(rebuilt, noise(row)), expected)
        assert torch.equal(features(copy.deepcopy(rebuilt), noise(row)), expected)


@rows
@shapes
def test_the_structure_is_built_without_memory(row: str, shape: dict[str, bool]) -> None:
    with torch.device("meta"):
        tower = adapter_config({"method": "vpt", **shape}).rebuild(BACKBONES[row].build(), TASKS)
    expected = prompted(row, **shape).state_dict()
    actual = tower.state_dict()
    assert {k: v.shape for k, v in actual.items()} == {k: v.shape for k, v in expected.items()}
    assert all(tensor.is_meta for tensor in actual.values())


def test_a_tower_with_dynamic_size_takes_any_picture() -> None:
    tower = prompted("nano-vit-80", deep=True)
    with torch.no_grad():
        assert tower(torch.rand(2, 3, 112, 96)).isfinite().all()


def test_dropout_hides_prompts_in_training_alone() -> None:
    inputs = noise("SigLIP2-micro")
    with torch.no_grad():
        expected = prompted("SigLIP2-micro")(inputs)
        tower = prompted("SigLIP2-micro", dropout=0.5)
        assert torch.equal(tower(inputs), expected)
        assert distance(tower.train()(inputs), expected) > 1e-3


def with_heads(row: str, tower: nn.Module) -> MultitaskEncoder:
    heads = {task: build_head("linear", BACKBONES[row].width, 2) for task in TASKS}
    return MultitaskEncoder(tower, heads).eval()


@rows
@shapes
def test_a_traced_encoder_takes_any_number_of_faces(row: str, shape: dict[str, bool]) -> None:
    encoder, inputs = with_heads(row, prompted(row, **shape)), noise(row)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of branches on the picture's size
        graph = torch.jit.trace(encoder, inputs[:1], strict=False, check_trace=False)
        graph, expected = torch.jit.freeze(graph), encoder(inputs)
        actual = graph(inputs)
    assert all(distance(actual[task], expected[task]) < 1e-5 for task in TASKS)


@rows
def test_an_exported_encoder_takes_any_number_of_faces(row: str) -> None:
    encoder, inputs = with_heads(row, prompted(row, deep=True, per_task=True)), noise(row, 5)
    faces = {0: torch.export.Dim("faces", min=1, max=64)}
    with torch.no_grad():
        graph = torch.export.export(encoder, (inputs[:2],), dynamic_shapes=(faces,), strict=False)
        for count in (1, 5):
            expected, actual = encoder(inputs[:count]), graph.module()(inputs[:count])
            assert all(distance(actual[task], expected[task]) < 1e-5 for task in TASKS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompts": -1}, "prompts: got -1"),
        ({"prompts": "many"}, "prompts: got 'many'"),
        ({"dropout": 1.0}, "dropout: got 1.0"),
        ({"deep": "half"}, "deep: got 'half'"),
        ({"prompt": 3}, "Did you mean 'prompts'"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises((OptionError, UnknownNameError), match=words):
        adapter_config({"method": "vpt", **options})
