"""Every system moves exactly what it trains, and ships what it learned."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from fsb_perception.bundles.bundle import Bundle, save_bundle
from fsb_perception.tasks import TASKS
from fsb_perception.towers.backbones import BACKBONES
from fsb_training.export import manifest_of
from fsb_training.learning.assembly import deploy
from fsb_training.learning.learner import Learner
from fsb_training.recipe import Recipe
from fsb_training.systems import SYSTEMS
from tests.sampling import REPRESENTATIVE, in_turn, sampled
from tests.texts import word_tokenizer
from tests.towers import MICRO
from tests.training.systems import faces, labels, learner, optimiser_of, recipe

HEADS = "encoder.heads."  # batch norm's statistics move there, and nowhere else
IN_TURN = in_turn(MICRO)
on_both_families = pytest.mark.parametrize(
    ("system", "backbone"), sampled(itertools.product(SYSTEMS, MICRO), IN_TURN)
)


def on_one_family(but: str = "") -> pytest.MarkDecorator:
    """Give every system once, the families in turn, where a family cannot make the difference."""
    cases = [case for case in sorted(IN_TURN) if case[0] != but]
    return pytest.mark.parametrize(
        ("system", "backbone"), sampled(cases, [c for c in cases if c[0] in REPRESENTATIVE])
    )


# Nothing of the others but the head belongs to one task.
OF_ONE_TASK = tuple(name for name in SYSTEMS if "task" in name or "MTLoRA" in name)
# In these a task's difference leaves a block's first layers only by its later low-rank parts, which
# are zero at first: it takes a step for each B on the way, and one for A.
LATE = dict.fromkeys(("MTLoRA matrix", "MTLoRA matrixv2", "MTLoRA thesis"), 3)
FROM_ZERO = ("LoRA", "rsLoRA", "DoRA", "MTLoRA exact", *LATE)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return word_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def step(
    model: Learner,
    optimiser: torch.optim.Optimizer,
    chosen: Recipe,
    without: str = "",
    size: int = 0,
) -> float:
    pixels = faces(chosen.backbone, size=size)
    loss = model.train()(pixels, labels(chosen.tasks, without=without))
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def moved(model: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, now in model.state_dict().items() if not torch.equal(now, before[name])}


@on_both_families
def test_two_steps_move_what_trains_and_nothing_else(
    system: str, backbone: str, tokenizer: Path
) -> None:
    chosen = recipe(system, backbone, tokenizer)
    model = learner(chosen)
    before, optimiser = state(model), optimiser_of(model, chosen)
    declared = {name for name, p in model.named_parameters() if p.requires_grad}
    for number in range(LATE.get(system, 2)):
        # One is not enough: A's gradient comes through B, which is zero.
        assert number == 0 or (declared <= moved(model, before)) == (system not in FROM_ZERO)
        step(model, optimiser, chosen)
    statistics = {name for name, _ in model.named_buffers() if name.startswith(HEADS)}
    assert declared <= moved(model, before)
    assert moved(model, before) <= declared | statistics


@pytest.mark.parametrize(
    "system",
    sampled(
        [(name,) for name, row in SYSTEMS.items() if row.head != "text"],
        [(name,) for name in REPRESENTATIVE],
    ),
)
def test_a_frozen_stem_keeps_its_statistics(system: str, tokenizer: Path) -> None:
    """nano's stem has batch norms, which move unless they are held; the families have none."""
    chosen = recipe(system, "nano-vit-80", tokenizer, sizes=(32,))
    model = learner(chosen)
    before, optimiser = state(model), optimiser_of(model, chosen)
    for _ in range(2):
        step(model, optimiser, chosen, size=32)
    stem = {name for name in moved(model, before) if "patch_embed" in name}
    assert bool(stem) == (system == "full fine-tuning")
    assert any("running_mean" in name for name in before if "patch_embed" in name)


def test_the_divergence_is_in_the_loss(tokenizer: Path) -> None:
    losses = {}
    for beta in (0.0, 1.0):
        chosen = recipe("V2PT", "SigLIP2-micro", tokenizer)
        adapter = chosen.adapter.model_copy(update={"beta": beta})
        model = learner(chosen.model_copy(update={"adapter": adapter})).train()
        taken = []
        penalty = model.encoder.tower.penalty
        model.encoder.tower.penalty = lambda p=penalty, t=taken: t.append(p()) or t[-1]
        torch.manual_seed(1)
        losses[beta] = model(faces(chosen.backbone), labels(chosen.tasks)).item()
    assert taken[0].item() > 1e-3
    assert losses[1.0] - losses[0.0] == pytest.approx(taken[0].item(), rel=1e-3)


@on_both_families
def test_a_task_without_labels_keeps_all_that_is_its_own(
    system: str, backbone: str, tokenizer: Path
) -> None:
    chosen = recipe(system, backbone, tokenizer)
    model = learner(chosen)
    optimiser = optimiser_of(model, chosen)
    for _ in range(
        LATE.get(system, 2)
    ):  # AdamW has momentum now, which would go on without a gradient of None
        step(model, optimiser, chosen)
    before = state(model)
    step(model, optimiser, chosen, without="emotion")
    changed = moved(model, before)
    assert not {name for name in changed if "emotion" in name.split(".")}
    own = {name for name in before if "gender" in name.split(".") and "running" not in name}
    trains = {name for name, p in model.named_parameters() if p.requires_grad}
    assert own & trains <= changed
    if system in OF_ONE_TASK:
        assert any(name.startswith("encoder.tower") and "emotion" in name for name in before)


def deployed_bundle(model: Learner, chosen: Recipe, folder: Path) -> Bundle:
    encoder = deploy(model.encoder, chosen.adapter)
    temperatures = dict.fromkeys(chosen.tasks, 1.0)
    return save_bundle(
        folder, manifest_of(chosen, temperatures, {}), encoder, chosen.weights_precision
    )


@on_both_families
def test_what_is_exported_says_what_was_learned(
    system: str, backbone: str, tokenizer: Path, tmp_path: Path
) -> None:
    chosen = recipe(system, backbone, tokenizer)
    model = learner(chosen)
    optimiser = optimiser_of(model, chosen)
    for _ in range(2):
        step(model, optimiser, chosen)
    before = state(model)
    pixels = faces(backbone, 3, seed=1)
    bundle = deployed_bundle(model, chosen, tmp_path)
    loaded = bundle.build_model()
    with torch.no_grad():
        trained = model.encoder.eval()(pixels)
        ready = deploy(model.encoder, chosen.adapter)
        shipped = loaded(pixels)
    assert moved(model, before) == set()
    stored = {name for name in ready.state_dict() if "num_batches" not in name}
    assert not stored & moved(loaded, state(ready))  # equal to the bit
    atol = 1e-5 if chosen.head == "text" else 1e-6  # a cosine's rounding, times 100
    for task, rows in ready(pixels).items():
        torch.testing.assert_close(shipped[task], rows, rtol=1e-5, atol=atol)
        scale = float(trained[task].abs().max())
        torch.testing.assert_close(shipped[task], trained[task], rtol=0, atol=2e-5 * scale)
    plain = set(BACKBONES[backbone].build().state_dict())
    assert (set(loaded.tower.state_dict()) == plain) == chosen.adapter.merges
    assert not any("text" in name.split(".")[:1] for name in loaded.state_dict())


@on_one_family()
def test_one_task_alone_works(system: str, backbone: str, tokenizer: Path) -> None:
    chosen = recipe(system, backbone, tokenizer, ["emotion"])
    model = learner(chosen)
    optimiser = optimiser_of(model, chosen)
    losses = [step(model, optimiser, chosen) for _ in range(3)]
    assert all(math.isfinite(loss) for loss in losses)
    assert set(deploy(model.encoder, chosen.adapter)(faces(backbone))) == {"emotion"}


@on_one_family(but="zero-shot")  # a temperature, all that it learns, learns nothing by heart
def test_eight_faces_are_learned_by_heart(system: str, backbone: str, tokenizer: Path) -> None:
    chosen = recipe(system, backbone, tokenizer, loss={"dropout": 0.0, "label_smoothing": 0.0})
    model = learner(chosen)
    optimiser = optimiser_of(model, chosen)
    first = step(model, optimiser, chosen)
    target = 0.5 * first if system in ("SoftCPT-CATS", "CoOp") else 0.02 * first
    for _ in range(200):
        loss = step(model, optimiser, chosen)
        if loss <= target:
            return
    pytest.fail(f"began at {first:.3f}, came to {loss:.3f}, not below {target:.3f}")


@on_one_family()
def test_a_fresh_system_is_finite_and_seeded(system: str, backbone: str, tokenizer: Path) -> None:
    chosen = recipe(system, backbone, tokenizer)
    pixels = faces(backbone, 2)
    with torch.no_grad():
        first, again, other = (learner(chosen, n).encoder.eval()(pixels) for n in (0, 0, 1))
    for task in TASKS:
        assert torch.isfinite(first[task]).all()
        torch.testing.assert_close(first[task], again[task])
        assert not torch.allclose(first[task], other[task], rtol=0.1)
