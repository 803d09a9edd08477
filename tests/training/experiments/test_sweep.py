"""A whole sweep on made-up faces: pretraining, two systems, records, the page; and going on."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from typer.testing import CliRunner

from fsb_perception.options import OptionError
from fsb_training.cli import app
from fsb_training.experiments.options import PARTS, SHIPPED, Sweep
from fsb_training.experiments.partition import first, partition
from fsb_training.experiments.plan import MAIN
from fsb_training.experiments.records import RecordError, read_all
from fsb_training.experiments.sweep import parts_of
from fsb_training.learning.captions.learner import CaptionBatches, CaptionLearner
from fsb_training.recipe import load_recipe
from fsb_training.recipe_options import DataOptions
from tests.paths import ROOT
from tests.training.datasets import layouts

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]  # the sweep is run once, for all of them
RECIPES = ROOT / "fsb_training" / "recipes"
SHARES = {"pretrain": 0.4, "adapt": 0.2, "dev": 0.2, "test": 0.2}
SWEEP = {
    "pretrain": "clip.yaml",
    "adapt": "adapt.yaml",
    "shares": SHARES,
    "faces": 20,
    "visits": 1,
    "rank": 2,
    "seeds": [0, 1],
    "systems": ["linear probing", "LoRA", "zero-shot"],
    "mapped": ["LoRA"],
    "map_faces": 16,
    "single": ["LoRA"],
    "settings": {"LoRA": {"optimiser.learning_rate": 0.01}},
}
STEPS = {"images": 16, "batch_size": 8, "warmup_images": 0}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layouts.everything(tmp_path_factory.mktemp("data"), count=40)


@pytest.fixture(scope="module")
def plan(root: Path) -> Path:
    folder = root.parent / "sweep"
    folder.mkdir()
    for name, base in (("clip", "nano-clip"), ("adapt", "nano-adapt")):
        recipe = {"extends": base, "optimiser": STEPS}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    (folder / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))
    return folder / "sweep.yaml"


def settings(root: Path) -> tuple[str, ...]:
    return (f"data.root={root}", f"data.cache={root}/cache")


@pytest.fixture(scope="module")
def done(root: Path, plan: Path) -> Path:
    """Run two systems of the sweep with one seed, and return the folder."""
    folder = plan.parent / "out"
    command = ["sweep", str(plan), "--records", str(folder), "--page", str(folder / "page.md")]
    command += ["--run", str(folder / "run")]
    for setting in settings(root):
        command += ["--set", setting]
    folder.mkdir()
    for only in ("main-lora-gender+age_group+emotion-0", "main-zero-shot"):
        result = CliRunner().invoke(app, [*command, "--only", only])
        assert result.exit_code == 0, result.output
    return folder


def test_a_run_leaves_a_record_and_the_page_says_what_is_missing(done: Path, plan: Path) -> None:
    records = read_all(done)
    assert sorted((r.system, r.cell["seed"]) for r in records) == [
        ("LoRA", 0), ("zero-shot", 0), ("zero-shot", 1),
    ]  # fmt: skip
    page = (done / "page.md").read_text()
    assert "| linear probing | not run |" in page
    assert f"3 of {len(Sweep(plan).options.plan())} runs are done." in page
    assert "<!--" not in page
    assert not list((done / "run" / "runs").iterdir())  # checkpoints are gone


def test_records_hold_what_the_tables_need_and_no_folder(done: Path, root: Path) -> None:
    (lora, *_) = read_all(done)
    assert set(lora.metrics) == {"gender", "age_group", "emotion"}
    for row in lora.metrics.values():
        assert 0 <= row["accuracy"] <= 1
        assert {"balanced_accuracy", "macro_f1", "ece", "ece_before", "count"} <= set(row)
    assert lora.parameters["trained"] < lora.parameters["total"]
    assert lora.cost["text_bytes"] > 0
    assert set(lora.counts) == set(PARTS)
    for path in done.glob("*.json"):
        assert str(root) not in path.read_text()
        assert "/cache" not in path.read_text()


def test_what_is_done_is_not_done_again(done: Path, root: Path, plan: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in done.glob("*.json")}
    command = ["sweep", str(plan), "--records", str(done), "--page", str(done / "page.md")]
    for setting in settings(root):
        command += ["--set", setting]
    # Nothing is pretrained for it either.
    run = done / "another run"
    result = CliRunner().invoke(app, [*command, "--run", str(run), "--only", "zero-shot"])
    assert result.exit_code == 0, result.output
    assert {p.name: p.stat().st_mtime_ns for p in done.glob("*.json")} == before
    assert not run.exists()


def test_records_of_another_budget_are_not_gone_on_from(done: Path, root: Path, plan: Path) -> None:
    longer = plan.with_name("longer.yaml")
    longer.write_text(yaml.safe_dump(SWEEP | {"visits": 2}))
    command = ["sweep", str(longer), "--records", str(done), "--run", str(done / "run")]
    result = CliRunner().invoke(app, [*command, "--page", str(done / "longer.md")])
    assert isinstance(result.exception, RecordError)
    assert "budget.visits is 1, this sweep has 2" in str(result.exception)
    assert not (done / "longer.md").exists()


def test_the_page_is_made_of_the_records_alone(done: Path, plan: Path, tmp_path: Path) -> None:
    command = ["sweep", str(plan), "--records", str(done), "--page", str(tmp_path / "again.md")]
    assert CliRunner().invoke(app, [*command, "--page-only"]).exit_code == 0
    assert (tmp_path / "again.md").read_bytes() == (done / "page.md").read_bytes()


def test_the_runs_can_be_listed(done: Path, plan: Path) -> None:
    result = CliRunner().invoke(app, ["sweep", str(plan), "--records", str(done), "--list"])
    lines = result.output.splitlines()
    assert "done  main-zero-shot-gender+age_group+emotion-1" in lines
    assert sum(line.startswith("done") for line in lines) == 3
    assert len(lines) == len(Sweep(plan).options.plan())


def test_the_shipped_sweep_is_what_the_page_shows(tmp_path: Path) -> None:
    """docs/results.md is the page of the records in docs/results, byte for byte."""
    docs = RECIPES.parents[1] / "docs"
    command = ["sweep", "--records", str(docs / "results")]
    before = (docs / "results.md").read_bytes()
    page = tmp_path / "page.md"
    result = CliRunner().invoke(app, [*command, "--page", str(page), "--page-only"])
    assert result.exit_code == 0, result.output
    assert page.read_bytes() == before


def test_every_shipped_run_has_a_recipe_that_holds(tmp_path: Path) -> None:
    sweep = Sweep(SHIPPED, ("data.root=nowhere",))
    seen = set()
    for cell in sweep.options.plan():
        if cell.seed or (cell.study == MAIN and len(cell.tasks) == 1):
            continue
        recipe = sweep.recipe(cell, tmp_path / "towers.safetensors", 1000)
        assert recipe.optimiser.images == 1000 * sweep.options.visits
        seen.add(cell.system)
    assert seen == set(sweep.options.systems)


def test_parts_share_no_picture_and_a_smaller_last_part_moves_no_face(root: Path) -> None:
    options = DataOptions(root=str(root), cache=f"{root}/cache")
    names = ["FairFace", "UTKFace"]
    parts = partition(options, names, SHARES)
    files = {p: {(s.faces.name, f) for s in ss for f in s.faces.files} for p, ss in parts.items()}
    for one in files:
        for other in files:
            assert one == other or not files[one] & files[other]
    smaller = partition(options, names, SHARES | {"test": 0.05})
    for part in ("pretrain", "adapt", "dev"):
        assert {f for s in smaller[part] for f in s.faces.files} == {
            f for s in parts[part] for f in s.faces.files
        }


def test_a_budget_keeps_the_data_sets_shares(root: Path, plan: Path) -> None:
    parts = parts_of(Sweep(plan, settings(root)))
    chosen = first(parts["pretrain"], 10)
    assert abs(sum(map(len, chosen)) - 10) <= len(chosen)
    for source in chosen:
        assert len(set(source.faces.files)) == len(source)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"shares": {"adapt": 1.0}}, "must name pretrain, adapt, dev, test"),
        ({"settings": {"LoRa": {}}}, "unknown system 'LoRa'"),
        ({"rank": 0}, "greater than or equal to 1"),
        ({"colour": "red"}, "colour"),
        ({"systems": ["LoRa"]}, "unknown system 'LoRa'"),
        ({"single": ["LoRa"]}, "single.*unknown system 'LoRa'"),
        ({"ablated": ["LoRa"]}, "ablated.*unknown system 'LoRa'. Did you mean 'LoRA'"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(change: dict, why: str, plan: Path) -> None:
    path = plan.parent / "bad.yaml"
    path.write_text(yaml.safe_dump(SWEEP | change))
    with pytest.raises(OptionError, match=why):
        Sweep(path).options.plan()


@pytest.mark.parametrize("text", ["systems: [", "- 1"])
def test_what_is_no_sweep_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(OptionError, match=r"sweep\.yaml"):
        _ = Sweep(path).options
    with pytest.raises(OptionError, match="cannot use the sweep"):
        _ = Sweep(tmp_path / "absent.yaml").options


def test_caption_batches_are_the_same_at_every_call_and_true(root: Path, plan: Path) -> None:
    sweep = Sweep(plan, settings(root))
    batches = CaptionBatches(parts_of(sweep)["pretrain"], sweep.pretraining)
    one, again, other = batches[0], batches[0], batches[1]
    assert torch.equal(one.pixels, again.pixels)
    for name, rows in one.targets.items():
        assert torch.equal(rows, again.targets[name])
    assert not torch.equal(one.targets["tokens"], other.targets["tokens"])
    mentioned, facts = one.targets["mentioned"], one.targets["facts"]
    assert ((mentioned == -1) | (mentioned == facts)).all()
    grey = (one.pixels.float().std(dim=1).amax((1, 2)) < 1).numpy()
    assert np.array_equal(facts[:, 5].numpy() == 1, grey)


def test_processes_share_a_batch_of_captions(root: Path, plan: Path) -> None:
    sweep = Sweep(plan, settings(root))
    sources, recipe = parts_of(sweep)["pretrain"], sweep.pretraining
    whole = CaptionBatches(sources, recipe)[0].targets["tokens"]
    parts = [CaptionBatches(sources, recipe, slice(r, None, 2))[0] for r in (0, 1)]
    assert torch.equal(whole[0::2], parts[0].targets["tokens"])
    assert torch.equal(whole[1::2], parts[1].targets["tokens"])


def test_the_towers_are_kept_under_names_that_load(done: Path) -> None:
    with safe_open(done / "run" / "pretrain" / "towers.safetensors", "pt") as file:
        names = {name.rpartition(".")[0].split(".")[0] for name in file.keys()}  # noqa: SIM118
    assert names == {"visual", "text"}


def test_pretraining_is_repeatable_and_lowers_its_loss(root: Path, plan: Path) -> None:
    logging.getLogger("fsb_training").setLevel(logging.WARNING)
    sweep = Sweep(plan, settings(root))
    batch = CaptionBatches(parts_of(sweep)["pretrain"], sweep.pretraining)[0]
    pixels = batch.pixels.float() / 255

    def learned() -> tuple[list[float], str]:
        torch.manual_seed(0)
        learner = CaptionLearner(sweep.pretraining)
        optimiser = torch.optim.AdamW(learner.parameters(), lr=1e-3)
        losses = []
        for _ in range(8):
            optimiser.zero_grad()
            loss = learner(pixels, batch.targets)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        weights = b"".join(p.detach().numpy().tobytes() for p in learner.parameters())
        return losses, hashlib.sha256(weights).hexdigest()

    (losses, weights), (_, again) = learned(), learned()
    assert weights == again
    assert losses[-1] < losses[0] - 0.1


def test_the_zero_shot_encoder_of_a_learner_says_something_of_every_task(plan: Path) -> None:
    learner = CaptionLearner(load_recipe(plan.parent / "clip.yaml", ["data.root=x"]))
    logits = learner.encoder.eval()(torch.zeros(2, 3, 64, 64))
    assert {task: rows.shape[1] for task, rows in logits.items()} == {
        "gender": 2, "age_group": 9, "emotion": 7,
    }  # fmt: skip
