from __future__ import annotations

import copy
import functools
import re

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fsb_perception.adapters import adapter_config, adapter_settings, stored_adapter
from fsb_perception.adapters.mtlora import Mtlora
from fsb_perception.adapters.multitask_linear import LowRank, MultitaskLinear, RowLengthLinear
from fsb_perception.adapters.streams import Streams, TaskTower
from fsb_perception.heads import build_head
from fsb_perception.model import MultitaskEncoder
from fsb_perception.options import OptionError
from fsb_perception.towers.backbones import BACKBONES

ROWS = ("PE-Core-micro", "SigLIP2-micro")
MODES = ("matrix", "matrixv2", "exact")
EVERY_MODE = (*MODES, "addition")
CLASSES = {"gender": 2, "age_group": 9, "emotion": 7}
TASKS = tuple(CLASSES)
ADAPTERS = r".*\.(lora_[ab]|lora_norm\.\w+|lora_magnitude|(task_[ab]|probe)\.\w+)"

every_row = pytest.mark.parametrize("row", ROWS)
every_mode = pytest.mark.parametrize("mode", MODES)


def options(mode: str = "matrix", **other: object) -> Mtlora:
    return Mtlora(**{"mode": mode, "rank": 4, "task_rank": 3, "alpha": 6.0, "blocks": 2, **other})


@functools.cache
def _tower(row: str) -> nn.Module:
    torch.manual_seed(0)
    tower = BACKBONES[row].build().eval()
    for parameter in tower.parameters():  # fresh towers hardly see the picture: biases are zero
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    return tower


def plain_tower(row: str) -> nn.Module:
    return copy.deepcopy(_tower(row))


def trained_tower(row: str, config: Mtlora, tasks: tuple[str, ...] = TASKS) -> TaskTower:
    """Adapters as after training: no B is zero."""
    adapted = config.adapt(plain_tower(row), tasks)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if re.fullmatch(ADAPTERS, name) and "magnitude" not in name:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
        elif "magnitude" in name:
            parameter.data *= 1 + 0.2 * torch.rand(parameter.shape, generator=generator)
    return adapted


def pictures(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((actual - expected).abs().max() / expected.abs().max()).detach())


def declared(tower: nn.Module) -> set[str]:
    return {name for name, parameter in tower.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.float64, 1e-9)])
@every_mode
@every_row
def test_fresh_adapters_change_nothing(
    row: str, mode: str, dtype: torch.dtype, limit: float
) -> None:
    pixels = pictures().to(dtype)
    plain = plain_tower(row).to(dtype)
    expected = plain(pixels)
    features = options(mode).adapt(plain, TASKS)(pixels)
    assert list(features) == list(TASKS)
    for feature in features.values():
        assert feature.shape == (2, BACKBONES[row].width)
        assert error(feature, expected) <= limit


@every_mode
@every_row
def test_together_is_as_each_alone(row: str, mode: str) -> None:
    tower = trained_tower(row, options(mode))
    together, plain = tower(pictures()), plain_tower(row)(pictures())
    for task in TASKS:
        assert error(tower(pictures(), [task])[task], together[task]) < 1e-5
        single = options(mode).adapt(plain_tower(row), [task])
        state = tower.state_dict()
        single.load_state_dict({name: state[name] for name in single.state_dict()})
        assert error(single(pictures())[task], together[task]) < 1e-5
        others = [together[other] for other in TASKS if other != task] + [plain]
        assert min(error(other, together[task]) for other in others) > 0.01


def test_tasks_are_given_in_any_order() -> None:
    tower = trained_tower("PE-Core-micro", options())
    expected, features = tower(pictures()), tower(pictures(), ["emotion", "gender"])
    assert set(features) == {"emotion", "gender"}
    assert all(error(features[task], expected[task]) < 1e-5 for task in features)


def layer(mode: str, tasks: tuple[str, ...] = TASKS, streams: Streams | None = None) -> nn.Module:
    torch.manual_seed(3)
    streams = streams or Streams(tasks, shared=mode != "exact")
    made = MultitaskLinear(
        nn.Linear(5, 6), streams, LowRank(2, 1.5), LowRank(3, 0.5), mode == "matrix"
    )
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made.double()


@every_mode
@pytest.mark.parametrize("active", [TASKS, ("age_group",)])
def test_a_layer_by_hand(mode: str, active: tuple[str, ...]) -> None:
    streams = Streams(TASKS, shared=mode != "exact")
    streams.active = active
    made = layer(mode, streams=streams)
    w, bias, a, b = made.weight, made.bias, made.lora_a, made.lora_b
    xs = torch.randn(streams.count, 4, 7, 5, dtype=torch.float64)
    x, x_tasks = xs[0], xs[int(streams.shared) :]

    def shared(x: torch.Tensor) -> torch.Tensor:
        return 1.5 * (x @ a.T @ b.T)

    expected = [x @ w.T + bias + shared(x)] if streams.shared else []
    for task, x_t in zip(active, x_tasks, strict=True):
        base = {
            "matrix": x @ w.T + bias,
            "matrixv2": x @ w.T + bias + shared(x),
            "exact": x_t @ w.T + bias + shared(x_t),
        }[mode]
        expected.append(base + 0.5 * (x_t @ made.task_a[task].T @ made.task_b[task].T))
    torch.testing.assert_close(made(xs.flatten(0, 1)), torch.cat(expected))


def test_a_layer_that_tasks_share_is_pefts() -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(4)
    linear = nn.Linear(5, 6)
    ours = MultitaskLinear(copy.deepcopy(linear), Streams(TASKS), LowRank(2, 3.0 / 2))
    theirs = get_peft_model(
        nn.Sequential(linear), LoraConfig(r=2, lora_alpha=3, target_modules=["0"])
    )
    theirs_layer = theirs.base_model.model[0]
    nn.init.normal_(ours.lora_b)
    theirs_layer.lora_A["default"].weight.data.copy_(ours.lora_a)
    theirs_layer.lora_B["default"].weight.data.copy_(ours.lora_b)
    x = torch.randn(4, 7, 5)
    torch.testing.assert_close(ours(x), theirs(x))


MODED: dict[str, object] = {"pooling": "mode"}
LEARNING = [
    *[(row, "exact", {}, 2) for row in ROWS],
    # The pooling applies W to each task's stream. Within a block a task's low-rank parts are the
    # only way, so it takes one step for each B on the way, and one for A.
    *[(row, mode, {}, 3) for row in ROWS for mode in ("matrix", "matrixv2", "addition")],
    ("PE-Core-micro", "matrix", {"blocks": 0}, 2),
    ("PE-Core-micro", "matrix", {"blocks": 4}, 3),
    ("SigLIP2-micro", "matrix", {"probes": True}, 3),
    ("PE-Core-micro", "exact", {"probes": True, "norms": True, "stem": True}, 2),
    ("PE-Core-micro", "matrixv2", {"split_qkv": True, "dora": True}, 3),
    ("SigLIP2-micro", "matrix", {"task_targets": r".*(proj|fc[12])", "dropout": 0.1}, 3),
    # With pooling: mode W x_t is never made: a gradient passes by residuals and the task's own B.
    # It arrives, a step at a time: at B in the pooling's last layers, in its first ones, where a
    # block adds to its residual, inside the block; and at every A one step after its B.
    *[(row, mode, MODED, 5) for row in ROWS for mode in ("matrix", "matrixv2")],
    ("PE-Core-micro", "matrix", MODED | {"blocks": 0}, 3),
    ("PE-Core-micro", "matrix", MODED | {"blocks": 4}, 5),
    # Other layers are the last that a task reads: the projection, the keys, a block.
    ("PE-Core-micro", "matrix", MODED | {"targets": r".*(kv|proj|fc[12])|head"}, 6),
    ("PE-Core-micro", "matrix", {"targets": r".*(kv|proj|fc[12])|head"}, 3),
    ("SigLIP2-micro", "matrix", MODED | {"targets": r"blocks\.3\.attn\.qkv|attn_pool\.(q|kv)"}, 3),
    ("SigLIP2-micro", "exact", {"targets": r"blocks\.[23]\.mlp\.fc[12]"}, 2),
]


FREED = re.compile(r"norm|patch_embed|pos_embed|cls_token")


@pytest.mark.parametrize(("row", "mode", "other", "steps"), LEARNING)
def test_all_that_is_declared_learns_and_nothing_else(
    row: str, mode: str, other: dict[str, object], steps: int
) -> None:
    tower = options(mode, **other).adapt(plain_tower(row), TASKS).train()
    before = copy.deepcopy(tower.state_dict())
    names = declared(tower)
    learn(tower, TASKS, steps)
    moved = {name for name, value in tower.state_dict().items() if not value.equal(before[name])}
    assert moved == names
    besides = {name for name in names if not re.fullmatch(ADAPTERS, name)}
    assert all(FREED.search(name) for name in besides)
    assert bool(besides) == bool(other.keys() & {"norms", "stem"})


@every_mode
@every_row
def test_one_step_is_enough_once_no_b_is_zero(row: str, mode: str) -> None:
    tower = trained_tower(row, options(mode))
    before = copy.deepcopy(tower.state_dict())
    learn(tower, TASKS, 1)
    assert not any(tower.state_dict()[name].equal(before[name]) for name in declared(tower))


def learn(tower: TaskTower, tasks: tuple[str, ...], steps: int) -> None:
    parameters = [parameter for parameter in tower.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.0)
    for _ in range(steps):
        optimiser.zero_grad()
        losses = [f.sin().square().sum() for f in tower(pictures(4), tasks).values()]
        torch.stack(losses).sum().backward()
        optimiser.step()


@pytest.mark.parametrize("mode", EVERY_MODE)
@every_row
def test_a_few_steps_move_the_features_by_the_task_adapters_of_the_blocks(
    row: str, mode: str
) -> None:
    """Take three steps, then the task adapters out; with pooling: mode the change is under 1e-4."""
    tower = options(mode).adapt(plain_tower(row), TASKS).train()
    learn(tower, TASKS, 1)
    moved = {name for name, p in tower.named_parameters() if "task_b" in name and p.any()}
    assert {name for name in moved if "blocks.2" in name and "fc2" in name}
    learn(tower, TASKS, 2)
    with torch.no_grad():
        learned = tower.eval()(pictures(4))
        for name, parameter in tower.named_parameters():
            if "task_b" in name and ".blocks." in name:
                parameter.zero_()
        without = tower(pictures(4))
    changes = [(learned[task] - without[task]).norm() / without[task].norm() for task in TASKS]
    assert min(changes) > 2e-3


@every_mode
def test_a_task_that_is_left_out_does_not_move(mode: str) -> None:
    tower = trained_tower("PE-Core-micro", options(mode))
    before = copy.deepcopy(tower.state_dict())
    learn(tower, ("gender", "age_group"), 2)
    after = dict(tower.named_parameters())
    left_out = {name for name in after if name.endswith(".emotion")}
    assert len(left_out) == 2 * (2 * 4 + 5)
    assert all(after[name].grad is None and after[name].equal(before[name]) for name in left_out)
    assert not any(after[name].equal(before[name]) for name in declared(tower) - left_out)


@every_mode
def test_learns_and_runs_in_bfloat16(mode: str) -> None:
    tower = trained_tower("PE-Core-micro", options(mode))
    expected = tower(pictures())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = tower(pictures())
    torch.stack([feature.float().sum() for feature in mixed.values()]).sum().backward()
    assert all(p.grad is not None for p in tower.parameters() if p.requires_grad)
    deployed = options(mode).merge(tower).to(torch.bfloat16)
    half = deployed(pictures().to(torch.bfloat16))
    assert half["emotion"].dtype == torch.bfloat16
    for task in TASKS:
        assert error(mixed[task].float(), expected[task]) < 0.1
        assert error(half[task].float(), expected[task]) < 0.1


VARIANTS = [
    {"probes": True},
    {"split_qkv": True},
    {"task_targets": r".*(proj|fc[12])"},
    {"dora": True},
    {"norms": True, "stem": True, "dropout": 0.1},
    {"blocks": 0, "probes": True},
]


@pytest.mark.parametrize("other", VARIANTS, ids=str)
@every_mode
def test_variants_begin_as_the_tower_and_merge_to_the_same(
    mode: str, other: dict[str, object]
) -> None:
    row = ROWS[len(mode) % 2]
    config = options(mode, **other)
    fresh, expected = config.adapt(plain_tower(row), TASKS).eval(), plain_tower(row)(pictures())
    assert all(error(feature, expected) < 1e-5 for feature in fresh(pictures()).values())
    trained = trained_tower(row, config).eval()
    features = trained(pictures())
    alone = trained(pictures(), ["emotion"])["emotion"]
    assert error(alone, features["emotion"]) < 1e-5
    merged = config.merge(trained)
    rebuilt = config.rebuild(BACKBONES[row].build(), TASKS).eval()
    rebuilt.load_state_dict(merged.state_dict())
    for task in TASKS:
        assert error(merged(pictures())[task], features[task]) < 1e-5
        assert error(rebuilt(pictures())[task], features[task]) < 1e-5


def test_addition_computes_every_task_and_returns_the_wanted() -> None:
    config = options("addition")
    tower = trained_tower("PE-Core-micro", config)
    together = tower(pictures())
    alone = tower(pictures(), ["emotion"])
    assert list(alone) == ["emotion"]
    assert alone["emotion"].equal(together["emotion"])
    merged = config.merge(tower)
    assert error(merged(pictures())["emotion"], together["emotion"]) < 1e-5


def test_the_pooling_by_hand() -> None:
    """Each task: its own stream, probe and matrices, through timm's pooling with merged weights."""
    from fsb_perception.adapters.task_pooling import TaskPooling

    config = options("matrix", probes=True, blocks=1)
    tower = trained_tower("PE-Core-micro", config)
    pool = tower.get_submodule("tower.attn_pool")
    assert isinstance(pool, TaskPooling)
    tokens = torch.randn(4 * 2, 5, pool.inner.latent.shape[-1])  # the shared stream is the first
    pooled = pool(tokens)
    for index, task in enumerate(TASKS):
        plain = copy.deepcopy(plain_tower("PE-Core-micro").get_submodule("attn_pool"))
        with torch.no_grad():
            plain.latent.copy_(pool.probe[task])
            for name in ("q", "kv", "proj", "mlp.fc1", "mlp.fc2"):
                own = pool.inner.get_submodule(name)
                weight = plain.get_submodule(name).get_parameter("weight")
                weight.add_(own.task_b[task] @ own.task_a[task])
                assert own.lora_a is None
        expected = plain(tokens[2 * (index + 1) : 2 * (index + 2)])
        torch.testing.assert_close(pooled[2 * index : 2 * index + 2], expected)


def test_addition_by_hand() -> None:
    streams = Streams(TASKS, shared=True)
    made = MultitaskLinear(
        nn.Linear(5, 6), streams, None, LowRank(3, 0.5), apart=True, normed=True
    ).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    xs = torch.randn(4, 2, 7, 5, dtype=torch.float64)
    plain = xs[0] @ made.weight.T + made.bias
    own = [
        plain + 0.5 * (x @ made.task_a[task].T @ made.task_b[task].T)
        for task, x in zip(TASKS, xs[1:], strict=True)
    ]
    total = own[0] + own[1] + own[2]
    mean, variance = total.mean(-1, keepdim=True), total.var(-1, keepdim=True, correction=0)
    normed = (total - mean) / (variance + 1e-5).sqrt() * made.lora_norm.weight + made.lora_norm.bias
    torch.testing.assert_close(made(xs.flatten(0, 1)), torch.cat([plain + normed, *own]))


def test_separate_parts_by_hand() -> None:
    made = MultitaskLinear(nn.Linear(5, 6), Streams(TASKS), LowRank(2, 1.5), parts=3).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(4, 5, dtype=torch.float64)
    parts = [
        1.5 * (x @ made.lora_a[2 * i : 2 * i + 2].T @ made.lora_b[2 * i : 2 * i + 2].T)
        for i in range(3)
    ]
    expected = x @ made.weight.T + made.bias + torch.cat(parts, dim=1)
    torch.testing.assert_close(made(x), expected)


def test_row_lengths_are_pefts() -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(5)
    linear, x = nn.Linear(5, 6), torch.randn(4, 7, 5)
    ours = RowLengthLinear(copy.deepcopy(linear), Streams(TASKS), LowRank(2, 1.5))
    config = LoraConfig(r=2, lora_alpha=3, use_dora=True, target_modules=["0"])
    theirs = get_peft_model(nn.Sequential(linear), config).base_model.model[0]
    nn.init.normal_(ours.lora_b)
    with torch.no_grad():
        ours.lora_magnitude.mul_(1.3)
        theirs.lora_A["default"].weight.copy_(ours.lora_a)
        theirs.lora_B["default"].weight.copy_(ours.lora_b)
        theirs.lora_magnitude_vector["default"].weight.copy_(ours.lora_magnitude)
    torch.testing.assert_close(ours(x), theirs(x))
    for result in (ours(x), theirs(x)):
        result.square().sum().backward()
    torch.testing.assert_close(ours.lora_b.grad, theirs.lora_B["default"].weight.grad)
    expected = ours(x)
    torch.testing.assert_close(ours.merged()(x), expected)


def test_a_file_from_before_means_the_pooling_of_its_time() -> None:
    written = adapter_settings(options(pooling="mode"))
    newer = ("pooling", "probes", "task_targets", "split_qkv", "dropout", "dora", "norms", "stem")
    old = {name: value for name, value in written.items() if name not in newer}
    assert stored_adapter(old) == options(pooling="mode")
    tower = stored_adapter(old).rebuild(BACKBONES["PE-Core-micro"].build(), TASKS)
    names = set(tower.state_dict())
    assert "tower.attn_pool.kv.task_a.gender" in names
    assert "tower.attn_pool.kv.lora_a" in names
    assert stored_adapter(written) == options(pooling="mode")


def shared_names(behind: str) -> set[str]:
    return {f"tower.{name}.lora_{x}" for name in behind.split() for x in "ab"}


IN_BLOCK = "attn.qkv attn.proj mlp.fc1 mlp.fc2"
BEHIND = " ".join(
    [f"blocks.2.inner.{name}" for name in IN_BLOCK.split()]
    + [f"blocks.3.{name}" for name in IN_BLOCK.split()]
    + [f"attn_pool.{name}" for name in ("q", "kv", "proj", "mlp.fc1")]
)
MERGED = [
    # Mode, pooling, unfolded, shared differences left, tensors of each task and adapted layer.
    ("matrix", "mode", True, shared_names(BEHIND), 2),
    ("matrix", "own", True, shared_names(BEHIND.partition(" blocks.3.mlp.fc2")[0]), 2),
    ("matrixv2", "mode", True, set(), 2),
    ("matrixv2", "own", True, set(), 2),
    ("exact", "own", True, set(), 1),
    ("exact", "own", False, set(), 2),
]


@every_row
@pytest.mark.parametrize(("mode", "pooling", "unfold", "shared", "matrices"), MERGED)
@pytest.mark.parametrize("tasks", [TASKS, ("emotion",)], ids=("three", "one"))
def test_merged_and_loaded_is_the_same(
    row: str,
    mode: str,
    pooling: str,
    unfold: bool,
    shared: set[str],
    matrices: int,
    tasks: tuple[str, ...],
) -> None:
    config = options(mode, unfold=unfold, pooling=pooling)
    trained = trained_tower(row, config, tasks)
    expected = trained(pictures())
    merged = config.merge(trained)
    rebuilt = config.rebuild(BACKBONES[row].build().eval(), tasks)
    rebuilt.load_state_dict(merged.state_dict())
    for task in tasks:
        assert error(merged(pictures())[task], expected[task]) < 1e-5
        assert error(rebuilt(pictures())[task], merged(pictures())[task]) < 1e-6
    names = set(merged.state_dict())
    assert {name for name in names if ".lora_" in name} == shared
    assert len([name for name in names if ".task_" in name]) == matrices * len(tasks) * (2 * 4 + 5)
    in_front = plain_tower(row).get_submodule("blocks.1").state_dict()
    assert merged.get_submodule("tower.blocks.1").state_dict().keys() == in_front.keys()


def test_merging_rounds_once() -> None:
    made = layer("matrixv2").to(torch.bfloat16)
    wide = made.weight.float() + 1.5 * (made.lora_b.float() @ made.lora_a.float())
    assert made.merged().weight.equal(wide.to(torch.bfloat16))
    made = layer("exact").to(torch.bfloat16)
    own = 0.5 * (made.task_b["gender"].float() @ made.task_a["gender"].float())
    assert made.merged(unfold=True).task_weight["gender"].equal((wide + own).to(torch.bfloat16))


def encoder(row: str, mode: str) -> MultitaskEncoder:
    tower = options(mode).merge(trained_tower(row, options(mode)))
    width = BACKBONES[row].width
    heads = {task: build_head("linear", width, count) for task, count in CLASSES.items()}
    return MultitaskEncoder(tower, heads).eval().requires_grad_(False)


@every_row
@every_mode
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_the_deployed_encoder_can_be_traced(row: str, mode: str) -> None:
    model = encoder(row, mode)
    trace = torch.jit.trace(model, pictures(1), strict=False, check_trace=False)
    same_logits(torch.jit.freeze(trace)(pictures(5)), model(pictures(5)))


def test_the_deployed_encoder_can_be_exported() -> None:
    model = encoder("PE-Core-micro", "matrix")
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(model, (pictures(2),), dynamic_shapes=({0: batch},))
    same_logits(exported.module()(pictures(5)), model(pictures(5)))


def same_logits(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    for task in TASKS:
        torch.testing.assert_close(actual[task], expected[task], atol=1e-5, rtol=1e-5)


def test_a_copy_is_whole_and_separate() -> None:
    tower = trained_tower("PE-Core-micro", options())
    other = copy.deepcopy(tower)
    tower(pictures(), ["gender"])
    expected = other(pictures())
    for parameter in tower.parameters():
        nn.init.zeros_(parameter)
    assert list(expected) == list(TASKS)
    assert all(other(pictures())[task].equal(expected[task]) for task in TASKS)


# Published: 10.1 % with one block and the pooling, 12.5 % with four; there DoRA is in front.
@pytest.mark.parametrize(("blocks", "share"), [(1, 10.1), (4, 12.5)])
def test_share_of_trained_parameters_is_the_published_one(blocks: int, share: float) -> None:
    with torch.device("meta"):
        row = BACKBONES["PE-Core-L-14-336"]
        tower = Mtlora(rank=64, blocks=blocks, dora=True, probes=True).adapt(row.build(), TASKS)
        heads = {task: build_head("mlp", row.width, count) for task, count in CLASSES.items()}
    parameters = list(MultitaskEncoder(tower, heads).parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    assert 100 * trained / sum(p.numel() for p in parameters) == pytest.approx(share, abs=0.3)


@pytest.mark.parametrize(("mode", "limit"), [("matrix", 1.5), ("matrixv2", 1.5), ("exact", 1.7)])
def test_four_of_twelve_blocks_cost_what_they_may(mode: str, limit: float) -> None:
    config, plain = Mtlora(mode=mode, blocks=4), base_tower()
    deployed = config.merge(config.adapt(copy.deepcopy(plain), TASKS))
    assert operations(deployed) < limit * operations(plain)


@functools.cache
def base_tower() -> nn.Module:
    with torch.device("meta"):
        return BACKBONES["PE-Core-B-16"].build().requires_grad_(False)


def operations(tower: nn.Module) -> int:
    with FlopCounterMode(display=False) as counter:
        tower.requires_grad_(False)(torch.empty(1, 3, 224, 224, device="meta"))
    return int(counter.get_total_flops())


BAD = [
    ({"rank": 0}, TASKS, "rank: got 0"),
    ({"rank": 4, "task_rank": -1}, TASKS, "task_rank: got -1"),
    ({"mode": "sum"}, TASKS, "mode: got 'sum', must be one of matrix, matrixv2, exact"),
    ({"probes": True, "pooling": "mode"}, TASKS, "probes: got true, which needs pooling=own"),
    ({"dora": True, "dropout": 0.1}, TASKS, "dropout: got 0.1, with dora it needs 0"),
    ({"task_targets": r"blocks\.0\..*"}, TASKS, r"matches no layer from blocks\.3 on"),
    ({"blocks": 5}, TASKS, "blocks: got 5, the tower has 4"),
    ({"targets": "nothing"}, TASKS, "targets: 'nothing' matches no linear layer"),
    ({"targets": "("}, TASKS, r"targets: '\(' is no regular expression"),
    ({"targets": r"blocks\.0\..*"}, TASKS, r"matches no layer from blocks\.3 on"),
    ({}, (), "tasks: got none"),
]


@pytest.mark.parametrize(("settings", "tasks", "message"), BAD)
def test_refuses(settings: dict[str, object], tasks: tuple[str, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        adapter_config({"method": "mtlora", **settings}).adapt(plain_tower(ROWS[0]), tasks)


def test_no_tasks_are_refused_before_anything_is_built() -> None:
    with pytest.raises(OptionError, match="tasks: got none"):
        Mtlora().check(BACKBONES[ROWS[0]], ())


def test_a_refused_tower_is_left_as_it_was() -> None:
    tower = plain_tower(ROWS[0])
    with pytest.raises(OptionError):
        options(targets=r"blocks\.0\..*").adapt(tower, TASKS)
    assert not any(isinstance(module, MultitaskLinear) for module in tower.modules())


def test_settings_say_everything() -> None:
    config = options("exact")
    assert adapter_config(adapter_settings(config)) == config
