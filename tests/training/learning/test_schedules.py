"""The rate, accumulation, early stopping, checkpointing: what a step is, and when the last was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fsb_perception.options import OptionError
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.towers.parts import inner_tower
from fsb_training.data.batches import Batch, StepBatches, total_steps
from fsb_training.data.sources import open_sources
from fsb_training.learning import trainer
from fsb_training.learning.fabric import build_fabric
from fsb_training.learning.schedules import Looks, learning_rate
from fsb_training.memory import saved_bytes
from fsb_training.recipe import Recipe
from fsb_training.recipe_options import OptimiserOptions
from fsb_training.systems import SYSTEMS
from tests.sampling import REPRESENTATIVE, sampled
from tests.texts import word_tokenizer
from tests.towers import MICRO
from tests.training import systems
from tests.training.datasets import layouts

NANO = "nano-vit-80"


def changed(recipe: Recipe, **options: object) -> Recipe:
    values = recipe.optimiser.model_dump() | {"precision": "fp32"} | options
    return recipe.model_copy(update={"optimiser": OptimiserOptions.model_validate(values)})


@pytest.mark.parametrize(
    ("schedule", "seen", "drops", "expected"),
    [
        ("cosine", 100, 0, 0.5),
        ("cosine", 600, 0, 0.5),
        ("cosine", 1000, 0, 0.0),
        ("constant", 100, 0, 0.5),
        ("constant", 1000, 0, 1.0),
        ("plateau", 100, 0, 0.5),
        ("plateau", 600, 0, 1.0),
        ("plateau", 600, 2, 0.01),
    ],
)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_rates(schedule: str, seen: int, drops: int, expected: float, accumulate: int) -> None:
    options = OptimiserOptions(
        images=1000, batch_size=10 // accumulate, accumulate=accumulate, learning_rate=1.0,
        warmup_images=200, schedule=schedule,
    )  # fmt: skip
    assert learning_rate(seen // 10 - 1, options, drops) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("scores", "drops", "best"),
    [
        ([0.1, 0.2, 0.3, 0.4], 0, [0, 1, 2, 3]),
        ([0.4, 0.3, 0.3, 0.5], 1, [0, 3]),
        ([0.4, 0.3, 0.3, 0.3, 0.4], 2, [0]),
        ([0.4, 0.3, 0.5, 0.4], 0, [0, 2]),
    ],
)
def test_a_plateau_is_so_many_looks_that_were_no_better(
    scores: list[float], drops: int, best: list[int]
) -> None:
    looks, options = Looks(), OptimiserOptions(schedule="plateau", plateau_looks=2)
    result = [n for n, score in enumerate(scores) if looks.add(score, options)]
    assert (result, looks.drops, looks.best) == (best, drops, max(scores))
    flat = Looks()
    for score in scores:
        flat.add(score, OptimiserOptions(schedule="cosine"))
    assert flat.drops == 0


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return word_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def halves(batch: Batch) -> list[Batch]:
    parts = [slice(0, 2), slice(2, None)]
    return [Batch(batch.pixels[p], {t: r[p] for t, r in batch.targets.items()}) for p in parts]


@pytest.mark.parametrize("weighting", ["equal", "uncertainty"])
@pytest.mark.parametrize("without", ["", "emotion", "all"], ids=lambda name: f"first lacks {name}")
def test_batches_of_a_step_have_the_gradient_of_one(weighting: str, without: str) -> None:
    """Weigh each face alike in batches of different sizes and label counts."""
    loss = {"dropout": 0.0, "label_smoothing": 0.0, "weighting": weighting}
    recipe = changed(
        systems.recipe("LoRA", MICRO[0], Path(), loss=loss, head="linear"), clip_norm=1e9
    )
    targets = systems.labels(recipe.tasks, 8)
    for task, rows in targets.items():
        rows[:2] *= without not in (task, "all")
        rows[5] *= task != "gender"
    size = BACKBONES[MICRO[0]].size
    pixels = torch.randint(0, 255, (8, 3, size, size), dtype=torch.uint8)
    whole, parts = trainer.start(recipe), trainer.start(recipe)
    batch = Batch(pixels, targets)
    losses = [trainer.train_step(whole, [batch], recipe)]
    losses += [trainer.train_step(parts, halves(batch), changed(recipe, accumulate=2))]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    expected = dict(whole.learner.named_parameters())
    for name, parameter in parts.learner.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-4, atol=1e-6)


def wrapped_systems() -> Iterator[tuple[str, str]]:
    """Everything that runs blocks backward: families in turn, and nano with its stem."""
    names = [name for name, row in SYSTEMS.items() if "zero" not in name and "Soft" not in name]
    for number, name in enumerate(names):
        yield name, MICRO[number % 2]
    yield from ((name, NANO) for name in ("LoRA", "VPT", "V2PT", "full fine-tuning"))


@pytest.mark.parametrize(
    ("system", "backbone"),
    sampled(
        wrapped_systems(),
        [case for case in wrapped_systems() if case[0] in REPRESENTATIVE or case[1] == NANO],
    ),
)
def test_checkpointing_changes_memory_and_nothing_else(
    system: str, backbone: str, tokenizer: Path
) -> None:
    sizes = {"sizes": (32,)} if backbone == NANO else {}
    recipe = changed(systems.recipe(system, backbone, tokenizer, **sizes))
    frugal = changed(recipe, gradient_checkpointing=True)
    pixels = systems.faces(backbone, size=32)
    targets = systems.labels(recipe.tasks)
    result = []
    for one in (recipe, frugal):
        learner = trainer.start(one).learner
        kept = saved_bytes(learner.encoder, pixels)
        learner.encoder.penalty()  # of that forward
        torch.manual_seed(1)
        loss = learner.train()(pixels, targets)
        loss.backward()
        result.append((kept, loss.item(), {n: p.grad for n, p in learner.named_parameters()}))
    (plain, loss, gradients), (less, same_loss, same) = result
    assert inner_tower(trainer.start(frugal).learner.encoder.tower).grad_checkpointing
    assert same_loss == loss
    for name, gradient in gradients.items():
        torch.testing.assert_close(same[name], gradient, rtol=0, atol=0)
    assert less < plain or system == "linear probing"


def test_early_stopping_ships_the_best_and_stays_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = layouts.everything(tmp_path / "data", count=8)
    data = {"root": str(root), "cache": str(root / "cache"), "dev_share": 0.3, "views": 1}
    data["shares"] = {"FairFace": 0.5, "FERPlus": 0.5}
    recipe = systems.recipe("linear probing", MICRO[0], Path(), data=data, evaluate_images=4)
    recipe = changed(recipe, batch_size=4, images=80, patience=2, schedule="plateau",
                     plateau_looks=1)  # fmt: skip
    scores = iter([0.1, 0.5, 0.2, 0.3, 0.9])
    monkeypatch.setattr(trainer, "score", lambda metrics: next(scores))
    weights = {}
    validate = trainer.validate

    def seen(encoder: torch.nn.Module, *rest: object) -> object:
        weights[len(weights)] = {n: t.clone() for n, t in encoder.state_dict().items()}
        return validate(encoder, *rest)

    monkeypatch.setattr(trainer, "validate", seen)
    shipped = trainer.fit(recipe, tmp_path / "run", *open_sources(recipe), "cpu")
    assert len(weights) == 4  # the second was the best, and two more were not
    for name, tensor in shipped.state_dict().items():
        assert torch.equal(tensor, weights[1][name])
    again = trainer.resume(recipe, tmp_path / "run")
    assert (again.step, again.looks.drops, again.looks.best) == (4, 2, 0.5)
    assert again.step < total_steps(recipe)
    shipped = trainer.fit(recipe, tmp_path / "run", *open_sources(recipe), "cpu")
    assert len(weights) == 4
    for name, tensor in shipped.state_dict().items():
        assert torch.equal(tensor, weights[1][name])


@pytest.mark.parametrize(("precision", "autocast"), [("fp32", False), ("bf16", True)])
def test_precision_is_that_of_products_and_labels_keep_theirs(
    precision: str, autocast: bool
) -> None:
    fabric = build_fabric(torch.device("cpu"), precision)
    seen = {}

    class Spy(torch.nn.Linear):
        def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            seen["products"], seen["labels"] = super().forward(inputs).dtype, labels
            return super().forward(inputs)

    labels = torch.full((1, 2), 1 / 3)
    loss = fabric.setup_module(Spy(2, 2))(torch.ones(1, 2), labels)
    assert (seen["products"] == torch.bfloat16) is autocast
    assert torch.equal(seen["labels"], labels)
    assert loss.dtype == torch.float32


def test_half_precision_needs_a_gpu() -> None:
    with pytest.raises(OptionError, match=r"optimiser\.precision: got 'fp16'.*bf16"):
        build_fabric(torch.device("cpu"), "fp16")


def test_accumulated_batches_are_those_of_their_step(tmp_path: Path) -> None:
    root = layouts.everything(tmp_path, count=8)
    data = {"root": str(root), "cache": str(root / "cache"), "dev_share": 0.3}
    data["shares"] = {"FairFace": 0.5, "FERPlus": 0.5}
    recipe = systems.recipe("LoRA", MICRO[0], Path(), data=data)
    recipe = changed(recipe, batch_size=4, accumulate=3, images=36)
    batches = StepBatches(open_sources(recipe)[0], recipe)
    assert total_steps(recipe) == 3
    assert len(batches) == 9
    (group,) = trainer.loader(batches, 2)
    assert [b.pixels.tolist() for b in group] == [batches[n].pixels.tolist() for n in (6, 7, 8)]
