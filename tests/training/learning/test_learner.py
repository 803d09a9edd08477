"""From the options of a recipe to the loss of a batch, and task weights after a step."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from fsb_perception.heads import Ordinal
from fsb_perception.tasks import TASKS
from fsb_training.data.batches import StepBatches
from fsb_training.data.sources import open_sources
from fsb_training.learning import trainer
from fsb_training.learning.learner import Learner
from fsb_training.losses.weighting import Famo
from fsb_training.recipe import Recipe, load_recipe
from tests.paths import ROOT
from tests.training.datasets import layouts
from tests.training.systems import faces, labels, learner, optimiser_of, recipe

BACKBONE = "PE-Core-micro"


def micro(head: str = "mlp", **loss: object) -> Recipe:
    plain = {"dropout": 0.0, "label_smoothing": 0.0}
    return recipe("LoRA", BACKBONE, Path(), head=head, loss=plain | loss)


def batch(**rest: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    return faces(BACKBONE), labels(tuple(TASKS), **rest)  # type: ignore[arg-type]


def step(model: Learner, optimiser: torch.optim.Optimizer, **rest: object) -> float:
    loss = model(*batch(**rest))
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


@pytest.mark.parametrize("head", ["linear", "coral"])
@pytest.mark.parametrize(
    "by_task",
    [{"age_group": "coral"}, {"age_group": "emd", "emotion": "logit-adjusted"}],
    ids=["coral", "emd and logit-adjusted"],
)
def test_eight_faces_are_learned_by_any_losses(head: str, by_task: dict[str, str]) -> None:
    chosen = micro(head, by_task=by_task)
    model = learner(chosen).train()
    model.set_priors({task: torch.ones(len(row.labels)).numpy() for task, row in TASKS.items()})
    optimiser = optimiser_of(model, chosen)
    first, loss = step(model, optimiser), math.inf
    for _ in range(60):
        loss = step(model, optimiser)
    assert loss < 0.2 * first
    ordinal = [isinstance(part, Ordinal) for part in model.encoder.heads["age_group"].modules()]
    assert any(ordinal) == (head == "coral")


def test_priors_are_no_part_of_a_checkpoint() -> None:
    plain, adjusted = learner(micro()), learner(micro(by_task={"emotion": "logit-adjusted"}))
    adjusted.set_priors({"emotion": torch.full((7,), 1 / 7).numpy()})
    assert plain.state_dict().keys() == adjusted.state_dict().keys()


def test_an_unbalanced_prior_changes_the_loss_of_its_task_alone() -> None:
    model = learner(micro(by_task={"emotion": "logit-adjusted"})).train()
    prior = torch.tensor([0.97] + [0.005] * 6).numpy()
    losses = []
    for shares in (torch.ones(7).numpy() / 7, prior):
        model.set_priors({"emotion": shares})
        losses += [model(*batch()).item(), model(*batch(without="emotion")).item()]
    assert abs(losses[0] - losses[2]) > 0.1
    assert losses[1] == losses[3]


class Spy(Famo):
    """Keeps the losses that it was shown."""

    shown: list[dict[str, float]]

    def forward(self, losses: dict[str, torch.Tensor]) -> torch.Tensor:
        self.shown = [{task: loss.item() for task, loss in losses.items()}]
        return super().forward(losses)

    def after_step(self, losses: dict[str, torch.Tensor]) -> None:
        self.shown.append({task: loss.item() for task, loss in losses.items()})
        super().after_step(losses)


def spied(**loss: object) -> tuple[Learner, Recipe, Spy]:
    chosen = micro(weighting="famo", **loss)
    model = learner(chosen).train()
    model.weights = spy = Spy(chosen.tasks, chosen.loss)
    return model, chosen, spy


def test_looking_back_without_a_step_shows_the_same_losses() -> None:
    """Also where dropout hides a half: it hides the same half."""
    model, _, spy = spied(dropout=0.5)
    model(*batch())
    torch.rand(7)  # what else may have been drawn since
    model.after_step(*batch())
    assert spy.shown[0] == spy.shown[1]
    assert set(spy.shown[0]) == set(TASKS)


def test_looking_back_leaves_no_trace_but_in_the_weights() -> None:
    model, chosen, spy = spied(dropout=0.5)
    step(model, optimiser_of(model, chosen))
    before = {name: rows.clone() for name, rows in model.state_dict().items()}
    assert any("running_mean" in name for name in before)
    chance = torch.get_rng_state()
    model.after_step(*batch())
    assert torch.equal(torch.get_rng_state(), chance)
    changed = {
        name for name, rows in model.state_dict().items() if not torch.equal(rows, before[name])
    }
    assert changed == {f"weights.{name}" for name in ("logits", "first", "second", "steps")}
    assert sum(spy.shown[1].values()) < sum(spy.shown[0].values())


def test_only_weights_that_look_back_cost_a_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    model = learner(micro(weighting="uw-so"))
    monkeypatch.setattr(model, "encoder", nn.Identity())
    model.after_step(*batch())


@pytest.mark.parametrize("weighting", ["uw-so", "famo"])
def test_a_task_without_labels_keeps_its_weights(weighting: str) -> None:
    chosen = micro(weighting=weighting)
    model = learner(chosen).train()
    optimiser = optimiser_of(model, chosen)
    step(model, optimiser)
    model.after_step(*batch())
    own = {n: rows.clone() for n, rows in model.state_dict().items() if "emotion" in n.split(".")}
    place = chosen.tasks.index("emotion")
    state = {name: rows[place].clone() for name, rows in model.weights.named_buffers()}
    step(model, optimiser, without="emotion")
    model.after_step(*batch(without="emotion"))
    for name, rows in own.items():
        assert torch.equal(model.state_dict()[name], rows)
    for name, rows in model.weights.named_buffers():
        assert rows[place] == state[name]


@pytest.mark.parametrize("weighting", ["uw-so", "famo"])
def test_batches_of_one_step_are_weighed_each_by_itself(weighting: str) -> None:
    """Do not count a task that only another batch of the step has as a loss of zero."""
    model = learner(micro("linear", weighting=weighting)).train()
    batches = [batch(), batch(without="emotion")]
    counts = model.counts([targets for _, targets in batches])
    alone = [model(*one).item() for one in batches]
    assert [model(*one, counts).item() for one in batches] == alone
    assert min(alone) > 0.1
    model.after_step(*batches[-1])
    place = tuple(TASKS).index("emotion")
    assert all(rows[place] == 0 for _, rows in model.weights.named_buffers())


def test_a_run_with_every_option_goes_on_where_it_was(tmp_path: Path) -> None:
    """FAMO's state is in the checkpoint, and the priors are there again before the first step."""
    root = layouts.everything(tmp_path / "data", count=12)
    settings = [
        f"data.root={root}", f"data.cache={root}/cache", "data.dev_share=0.3", "data.balance=0",
        "data.share_of=faces", "data.duplicate={emotion: 0.5}", "sizes=[32]", "stage_shares=[1.0]",
        "backbone=PE-Core-micro", "adapter.method=lora", "adapter.rank=4", "head=coral",
        "loss.stem=0", "loss.weighting=famo", "loss.label_sigma=4",
        "loss.by_task={age_group: coral, emotion: logit-adjusted}", "optimiser.batch_size=8",
        "optimiser.images=32", "optimiser.warmup_images=8", "checkpoint_images=16",
        "evaluate_images=32",
    ]  # fmt: skip
    chosen = load_recipe(ROOT / "fsb_training/recipes/nano.yaml", settings)
    sources, dev = open_sources(chosen)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    trainer.fit(chosen, unbroken, sources, dev, "cpu")
    state, batches = trainer.begin(chosen, broken, "cpu"), StepBatches(sources, chosen)
    state.learner.set_priors(batches.class_shares())
    for number in range(2):
        trainer.train_step(state, [batches[number]], chosen)
    trainer.save(state, broken)
    trainer.fit(chosen, broken, sources, dev, "cpu")
    one, two = (
        torch.load(run / trainer.CHECKPOINT, weights_only=True) for run in (unbroken, broken)
    )
    assert one["learner"]["weights.steps"].max() == 4
    for name, rows in one["learner"].items():
        assert torch.equal(rows, two["learner"][name]), name


@pytest.mark.parametrize("weighting", ["equal", "uncertainty", "uw-so", "famo"])
def test_a_batch_without_any_label_teaches_nothing(weighting: str) -> None:
    chosen = micro("linear", weighting=weighting)
    model = learner(chosen).train()
    pixels, targets = batch()
    nothing = {task: torch.zeros_like(rows) for task, rows in targets.items()}
    loss = model(pixels, nothing)
    assert loss == 0
    assert not loss.requires_grad
    before = {name: rows.clone() for name, rows in model.weights.named_buffers()}
    model.after_step(pixels, nothing)
    for name, rows in model.weights.named_buffers():
        assert torch.equal(rows, before[name])


def test_faces_without_a_label_of_the_tasks_are_not_drawn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = "".join(f"{n}.jpg,male,{'anger' if n % 4 == 0 else ''}\n" for n in range(24))
    layouts.own_table(tmp_path, "file,gender,emotion\n" + lines, pictures=24)
    chosen = recipe(
        "LoRA", BACKBONE, Path(), tasks=("emotion",),
        data={
            "root": str(tmp_path), "cache": str(tmp_path / "c"), "shares": {"CSV": 1.0},
            "dev_share": 0.3,
        },
    )  # fmt: skip
    with caplog.at_level(logging.INFO, logger="fsb_training.data.sources"):
        (source,), _ = open_sources(chosen)
    assert 0 < len(source) < 7
    assert (source.faces.labels["emotion"] >= 0).all()
    for row, file in zip(source.rows, source.faces.files, strict=True):
        written = cv2.imread(str(source.faces.root / file))
        assert np.array_equal(source.store.image(int(row)), written)
    assert "faces left out, without a label of emotion" in caplog.text
