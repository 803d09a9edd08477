from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from fsb_perception.bundles.bundle import load_bundle
from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_training.cli import app
from fsb_training.data.batches import StepBatches
from fsb_training.data.sources import open_sources
from fsb_training.judging.metrics import task_metrics
from fsb_training.learning import checkpoints, trainer
from fsb_training.learning.state import State
from fsb_training.recipe import Recipe, load_recipe
from fsb_training.recipe_options import OptimiserOptions
from tests.paths import ROOT
from tests.training.datasets import layouts

RECIPE = ROOT / "fsb_training/recipes/nano.yaml"
SMALL = (
    "sizes=[32]", "stage_shares=[1.0]", "optimiser.images=48", "optimiser.batch_size=8",
    "optimiser.warmup_images=8", "checkpoint_images=16", "evaluate_images=48", "data.dev_share=0.3",
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layouts.everything(tmp_path_factory.mktemp("data"), count=18)


def small_recipe(root: Path, *settings: str) -> Recipe:
    return load_recipe(RECIPE, [f"data.root={root}", f"data.cache={root}/cache", *SMALL, *settings])


def train_command(root: Path, run: Path) -> list[str]:
    settings = [f"data.root={root}", f"data.cache={root}/cache", *SMALL]
    pairs = [text for setting in settings for text in ("--set", setting)]
    return ["fit", str(RECIPE), "--run", str(run), "--device", "cpu", "--threads", "1", *pairs]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [(100, 0.5), (200, 1.0), (600, 0.5), (1000, 0.0)],
)
def test_rate_warms_up_then_follows_a_cosine(seen: int, expected: float) -> None:
    options = OptimiserOptions(images=1000, batch_size=10, learning_rate=1.0, warmup_images=200)
    assert trainer.learning_rate(seen // 10 - 1, options) == pytest.approx(expected, abs=1e-9)


def test_every_weight_is_trained_and_norms_do_not_decay(root: Path) -> None:
    recipe = small_recipe(root)
    state = trainer.start(recipe)
    decayed, kept = (group["params"] for group in state.optimiser.param_groups)
    names = {id(p): name for name, p in state.learner.named_parameters()}
    assert len(decayed) + len(kept) == len(names)
    assert all("pos_embed" in names[id(p)] or "latent" in names[id(p)] or p.ndim < 2 for p in kept)
    before = {name: p.detach().clone() for name, p in state.learner.named_parameters()}
    sources, _ = open_sources(recipe)
    batches = StepBatches(sources, recipe)
    for step in range(2):
        trainer.train_step(state, [batches[step]], recipe)
    still = [n for n, p in state.learner.named_parameters() if torch.equal(p.detach(), before[n])]
    assert still == []


def in_a_fork(arguments: list[str]) -> int:
    """Run a command in a fork; return its exit status, negative for a signal."""
    child = os.fork()
    if not child:
        result = CliRunner().invoke(app, arguments)
        os._exit(int(bool(result.exception)))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def saving_once(state: State, run: Path) -> None:
    """Save a checkpoint as the trainer does, and be killed then."""
    checkpoints.save(state, run)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_killed_run_ends_as_an_unbroken_one(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    # Not in a fork: each of these would import what this one has imported.
    assert CliRunner().invoke(app, train_command(root, unbroken)).exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save", saving_once)
        assert in_a_fork(train_command(root, broken)) == -signal.SIGKILL
    assert (broken / trainer.CHECKPOINT).is_file()
    assert not (broken / "bundle").exists()
    assert in_a_fork(train_command(root, broken)) == 0
    weights = [load_bundle(run / "bundle").manifest.files for run in (unbroken, broken)]
    assert weights[0] == weights[1]

    # The same run, judged from the command line: the numbers follow from the predictions.
    out = tmp_path / "out.json"
    judged = CliRunner().invoke(
        app,
        ["evaluate", "--bundle", str(broken / "bundle"), "--data-root", str(root), "--cache",
         str(root / "cache"), "--datasets", "FairFace:val", "UTKFace:all", "FERPlus:test",
         "--json", str(out), "--predictions", str(tmp_path / "p.csv")],
    )  # fmt: skip
    assert judged.exit_code == 0, judged.output
    metrics = json.loads(out.read_text())
    assert {name: set(tasks) for name, tasks in metrics.items()} == {
        "FairFace": {"gender", "age_group"},
        "UTKFace": {"gender", "age_group"},
        "FERPlus": {"emotion"},
    }
    again = recompute(tmp_path / "p.csv")
    for name, tasks in metrics.items():
        for task, row in tasks.items():
            output = {metric: row[metric] for metric in again[name][task]}
            assert again[name][task] == pytest.approx(output, abs=1e-5)


def recompute(path: Path) -> dict[str, dict[str, dict[str, float | int]]]:
    """Metrics from a predictions file alone."""
    rows: dict[tuple[str, str], list[dict[str, str]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows.setdefault((row["dataset"], row["task"]), []).append(row)
    result: dict[str, dict[str, dict[str, float | int]]] = {}
    for (name, task), group in rows.items():
        columns = [c for c in group[0] if c[0] == "p" and group[0][c] != ""]
        table = np.array([[float(row[c]) for c in columns] for row in group], np.float32)
        true = np.array([int(row["true"]) for row in group])
        result.setdefault(name, {})[task] = task_metrics(task, table, true)
    return result


def test_another_recipe_does_not_take_over_a_run(root: Path, tmp_path: Path) -> None:
    recipe = small_recipe(root)
    state = trainer.start(recipe)
    trainer.save(state, tmp_path)
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json(indent=2))
    with pytest.raises(trainer.TrainingError, match="another recipe"):
        trainer.fit(small_recipe(root, "seed=5"), tmp_path, [], [])
    # Nor is a bundle made of it under another recipe's name and split.
    command = ["export", str(RECIPE), str(tmp_path / "bundle"), "--run", str(tmp_path)]
    result = CliRunner().invoke(app, [*command, "--set", f"data.root={root}"])
    assert isinstance(result.exception, trainer.TrainingError)
    assert "another recipe" in str(result.exception)
    assert not (tmp_path / "bundle").exists()


def test_a_run_goes_on_after_an_option_was_invented(root: Path, tmp_path: Path) -> None:
    recipe = small_recipe(root)
    trainer.save(trainer.begin(recipe, tmp_path, "cpu"), tmp_path)
    begun = json.loads((tmp_path / "recipe.json").read_text())
    del begun["optimiser"]["accumulate"], begun["tensorboard"]
    (tmp_path / "recipe.json").write_text(json.dumps(begun))
    trainer.begin(recipe, tmp_path, "cpu")
    trainer.begin(small_recipe(root, "name=other", "limits=none known"), tmp_path, "cpu")
    with pytest.raises(trainer.TrainingError, match="another recipe"):
        trainer.begin(small_recipe(root, "optimiser.accumulate=2"), tmp_path, "cpu")


def test_a_loss_that_is_not_a_number_stops_with_the_step(root: Path) -> None:
    recipe = small_recipe(root)
    state = trainer.start(recipe)
    with torch.no_grad():
        next(state.learner.parameters()).fill_(float("nan"))
    sources, _ = open_sources(recipe)
    with pytest.raises(trainer.TrainingError, match="step 0"):
        trainer.train_step(state, [StepBatches(sources, recipe)[0]], recipe)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gradient_that_is_not_a_number_never_reaches_the_weights(
    precision: str, root: Path
) -> None:
    recipe = small_recipe(root, f"optimiser.precision={precision}")
    state = trainer.start(recipe)
    weight = state.learner.encoder.heads["gender"][-1].bias
    weight.register_hook(lambda gradient: gradient * float("inf"))
    before = {name: tensor.clone() for name, tensor in state.learner.named_parameters()}
    sources, _ = open_sources(recipe)
    with pytest.raises(trainer.TrainingError, match=r"gradient's norm is .* at step 0"):
        trainer.train_step(state, [StepBatches(sources, recipe)[0]], recipe)
    for name, tensor in state.learner.named_parameters():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ("optimizer.images=5", UnknownNameError, "optimiser.images"),
        ("optimiser.images=0", OptionError, "got 0"),
        ("sizes=[48, 64]", OptionError, "stage_shares"),
        ("alignment=sideways", OptionError, "sideways"),
        ("data.shares={FairFace: -1, UTKFace: 2}", OptionError, "got -1.0 for FairFace"),
        ("data.shares={FairFace: .nan}", OptionError, "got nan for FairFace"),
        ("data.shares={FairFace: 0}", OptionError, "nothing to learn"),
        ("optimiser.clip_norm=0", OptionError, "got 0"),
        ("seed", OptionError, "NAME=VALUE"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_recipe(RECIPE, [setting])


def test_rates_by_role_reach_the_optimisers_step(root: Path) -> None:
    """AdamW's first step is as long as the rate, whatever the gradient: lengths show the rates."""
    recipe = small_recipe(
        root, "backbone=PE-Core-micro", "adapter.method=lora", "adapter.rank=4", "loss.stem=0",
        "optimiser.learning_rate=1e-4", "optimiser.loraplus_ratio=6", "optimiser.heads_ratio=10",
        "optimiser.warmup_images=0", "optimiser.weight_decay=0", "optimiser.images=8000",
    )  # fmt: skip
    state = trainer.start(recipe)
    before = {name: p.detach().clone() for name, p in state.learner.named_parameters()}
    sources, _ = open_sources(recipe)
    trainer.train_step(state, [StepBatches(sources, recipe)[0]], recipe)
    steps = {
        name: float((p.detach() - before[name]).abs().max())
        for name, p in state.learner.named_parameters()
    }
    b = [step for name, step in steps.items() if "lora_B" in name]
    heads = [step for name, step in steps.items() if "heads." in name and "weight" in name]
    assert b == pytest.approx([6e-4] * len(b), rel=0.05)
    assert heads == pytest.approx([1e-3] * len(heads), rel=0.05)
