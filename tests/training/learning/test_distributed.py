"""Two real processes, started by torchrun: they learn as one would, wherever the labels are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from fsb_perception.options import OptionError
from fsb_training.data.batches import StepBatches
from fsb_training.data.sources import open_sources
from fsb_training.learning import trainer
from fsb_training.learning.distributed import World, joined
from fsb_training.learning.state import State
from fsb_training.recipe import Recipe, load_recipe
from tests.paths import ROOT
from tests.training.datasets import layouts
from tests.training.learning import two_processes
from tests.training.learning.two_processes import ADAPTERS, MISSING, batch, begun, cases, chosen

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]
NANO = ROOT / "fsb_training/recipes/nano.yaml"
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "GLOO_SOCKET_IFNAME": "lo",
    # No bfloat16, which would hide a difference of 1e-5: without AMX it is not worth its while.
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
SECONDS = 200  # some 10 where nothing else runs


@contextmanager
def torchrun(*command: str) -> Iterator[list[str]]:
    """Start two processes beside the block; the yielded list gets their output at the end."""
    options = {
        "nproc-per-node": "2",
        "rdzv-backend": "c10d",
        "rdzv-endpoint": "127.0.0.1:0",  # a free port
        "local-addr": "127.0.0.1",
        "monitor-interval": "0.1",
        "shutdown-timeout": "5",
    }
    pairs = [text for name, value in options.items() for text in (f"--{name}", value)]
    process = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *pairs, "-m", *command],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output: list[str] = []
    try:
        yield output
        output.append(process.communicate(timeout=SECONDS)[0])
    finally:
        process.terminate()  # if it still runs: torchrun ends those that it started
        rest = process.communicate(timeout=20)[0]
    assert process.returncode == 0, "".join(output or [rest])[-4000:]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the results of `two_processes` by rank."""
    folder = tmp_path_factory.mktemp("ranks")
    with torchrun("tests.training.learning.two_processes", str(folder)):
        pass
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize(("adapter", "weighting", "missing"), list(cases()))
def test_the_mean_gradient_is_that_of_one_process(
    ranks: list[dict[str, Any]], adapter: str, weighting: str, missing: str
) -> None:
    alone = begun(chosen(adapter, weighting))
    two_processes.learn(alone.train(), slice(None), *batch(MISSING[missing]))
    expected = two_processes.gradients(alone)
    assert any("lora_A" in name or "prompt" in name or "task_a" in name for name in expected)
    for rank in ranks:
        result = rank["one backward"][f"{adapter}, {weighting}, {missing}"]
        assert result.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(result[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_nobody_has_a_label_of_stays(ranks: list[dict[str, Any]], adapter: str) -> None:
    for rank in ranks:
        before, after, gradients = (
            rank["without emotion"][adapter][key] for key in ("before", "after", "gradients")
        )
        own = {name for name in before if "emotion" in name.split(".")}
        assert any("running_mean" in name for name in own)
        assert any("log_variance" in name for name in own)
        assert any("tower" in name for name in own) == (adapter != "LoRA")
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert not own & moved
        assert {gradients[name] for name in own if name in gradients} == {None}
        of_gender = {name for name in gradients if "gender" in name.split(".")}
        assert of_gender <= moved
    for name, rows in ranks[0]["without emotion"][adapter]["after"].items():
        if "running" not in name and "tracked" not in name:
            assert torch.equal(rows, ranks[1]["without emotion"][adapter]["after"][name])


@pytest.mark.parametrize("part", ["learner", "average"])
def test_statistics_are_averaged_by_the_batches_seen(
    ranks: list[dict[str, Any]], part: str
) -> None:
    first, second = (rank["batch norms"]["before"][part] for rank in ranks)
    means = {
        "gender": lambda name: (3 * first[name] + second[name]) / 4,
        "age_group": lambda name: (first[name] + second[name]) / 2,
        "emotion": lambda name: second[name],  # rank 0 has never seen one
    }
    for rank in ranks:
        after = rank["batch norms"]["after"][part]
        assert len(after) == 2 * len(means)
        for name, rows in after.items():
            assert torch.isfinite(rows).all()
            expected = means[name.split(".")[2]](name)
            torch.testing.assert_close(rows, expected)
            assert torch.equal(rows, ranks[0]["batch norms"]["after"][part][name])
            assert torch.equal(rows, rank["batch norms"]["again"][part][name])
    name = "encoder.heads.emotion.0.running_mean"
    assert not first[name].any()
    assert second[name].all()


def test_weights_that_look_back_are_those_of_one_process(ranks: list[dict[str, Any]]) -> None:
    expected = two_processes.looking_back(slice(None))
    assert expected["steps"].tolist() == [3, 3, 2]
    assert expected["logits"].all()
    for rank in ranks:
        for name, buffer in rank["looking back"].items():
            torch.testing.assert_close(buffer, expected[name], rtol=1e-3, atol=1e-6)
            assert torch.equal(buffer, ranks[0]["looking back"][name])


def small_recipe(root: Path, cache: str) -> list[str]:
    return [
        f"data.root={root}", f"data.cache={root / cache}", "data.dev_share=0.3", "sizes=[32]",
        "stage_shares=[1.0]", "backbone=PE-Core-micro", "adapter.method=mtlora",
        "adapter.mode=exact", "adapter.rank=4", "loss.stem=0", "loss.dropout=0",
        "loss.weighting=uncertainty", "optimiser.batch_size=8", "optimiser.images=48",
        "optimiser.warmup_images=16", "optimiser.precision=fp32",
        "checkpoint_images=16", "evaluate_images=48",
    ]  # fmt: skip


# Two batches a step, of activations that rank 0 computes while the other waits.
FRUGAL = [
    "optimiser.batch_size=4", "optimiser.accumulate=2", "data.views=2", "data.view_precision=fp32",
]  # fmt: skip


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    root = layouts.everything(tmp_path_factory.mktemp("data"), count=12)
    return load_recipe(NANO, small_recipe(root, "cache"))


@pytest.mark.parametrize("views", [0, 2])
def test_the_parts_of_a_batch_are_the_batch_of_one(recipe: Recipe, views: int) -> None:
    data = recipe.data.model_copy(update={"views": views})
    recipe = recipe.model_copy(update={"data": data})
    sources, _ = open_sources(recipe)
    whole = StepBatches(sources, recipe)[3]
    for rank in range(3):
        part = StepBatches(sources, recipe, World(rank, 3).part)[3]
        assert torch.equal(part.pixels, whole.pixels[rank::3])
        for task, rows in part.targets.items():
            assert torch.equal(rows, whole.targets[task][rank::3])


def keeping(save: Callable[[State, Path], None], step: int, copy: Path) -> Callable[..., None]:
    """``save``, which at one step leaves a copy of what a kill would leave of the run there."""

    def saving(state: State, run: Path) -> None:
        save(state, run)
        if state.step == step:
            # The recipe's file names another cache.
            shutil.copytree(run, copy, ignore=shutil.ignore_patterns("recipe.json", "tensorboard"))

    return saving


@pytest.mark.parametrize(
    ("more", "half_way"), [([], False), (FRUGAL, True)], ids=["plain", "frugal, gone on with"]
)
def test_a_run_of_two_processes_ends_as_that_of_one(
    recipe: Recipe, tmp_path: Path, more: list[str], half_way: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, alone = tmp_path / "together", tmp_path / "alone"
    # A cache of their own, so that one process makes it while the other waits.
    root = Path(recipe.data.root)
    settings = small_recipe(root, f"cache of {tmp_path.name}") + more
    recipe = load_recipe(NANO, small_recipe(root, "cache") + more)
    pairs = [text for setting in settings for text in ("--set", setting)]
    fit = ["fsb_training.cli", "--", "fit", str(NANO), "--run", str(together), "--device", "cpu"]
    learn = partial(trainer.fit, recipe, alone, *open_sources(recipe), "cpu")
    if half_way:
        monkeypatch.setattr(trainer, "save", keeping(trainer.save, 2, together))
        learn()
    with torchrun(*fit, *pairs) as output:
        if not half_way:
            learn()
    assert output[0].count("Measured") == 1
    assert ("resumes at step 2 of 6" in output[0]) == half_way
    one, two = (
        torch.load(run / trainer.CHECKPOINT, weights_only=True) for run in (alone, together)
    )
    assert one["step"] == two["step"] == 6
    begin = trainer.start(recipe).learner.state_dict()
    for part in ("learner", "average"):
        for name, rows in one[part].items():
            torch.testing.assert_close(two[part][name], rows, rtol=0, atol=1e-5)
    moved = {name for name, rows in one["learner"].items() if not torch.equal(rows, begin[name])}
    assert any("task_a" in name for name in moved)
    logs = [(run / "log.jsonl").read_text().count("\n") for run in (alone, together)]
    assert logs[0] == logs[1] == 4


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(OptionError, match="multiple of 3"), joined(8, "cpu"):
        pass


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined(7, "cpu") as world:
        assert world == World(0, 1)
        assert world.leads
    assert not torch.distributed.is_initialized()
