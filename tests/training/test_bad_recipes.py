"""An error in a recipe is one line, before any long work; a correct recipe trains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file

from fsb_perception.adapters.lora import Lora
from fsb_perception.adapters.vpt import VisualPrompts
from fsb_perception.bundles.bundle import load_bundle
from fsb_perception.options import OptionError
from fsb_perception.towers.backbones import BACKBONES
from fsb_training.data import sources
from fsb_training.learning import trainer
from fsb_training.recipe import load_recipe
from tests.training.datasets import layouts
from tests.training.refusals import refusal, written


def other_shape(folder: Path) -> Path:
    """Weights of a tower of another family."""
    path = folder / "other.safetensors"
    save_file(dict(BACKBONES["SigLIP2-micro"].build().state_dict()), path)
    return path


NANO = ("backbone=nano-vit-80", "sizes=[80]")
PROBE = ("adapter.method=linear",)
BIG = ("backbone=PE-Core-B-16", "sizes=[224]", "weights.tower=", "weights.text=")

# The settings, and what the line must contain: the option or file, the value seen, the mend.
BAD: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "unknown backbone": (
        ("backbone=PE-Core-B-61",),
        ("unknown backbone 'PE-Core-B-61'", "Did you mean 'PE-Core-B-16'"),
    ),
    "unknown method": (
        ("adapter.method=lara",),
        ("unknown adapter 'lara'", "Did you mean 'lora'"),
    ),
    "unknown option of the method": (
        ("adapter.rnak=8",),
        ("unknown option 'rnak'", "Did you mean 'rank'"),
    ),
    "option of another method": (
        ("adapter.method=vpt", "adapter.rank=8"),
        ("unknown option 'rank'", "prompts"),
    ),
    "targets that match nothing": (
        ("adapter.targets=blocks\\.[0-9]+\\.attention",),
        ("targets: 'blocks\\\\.[0-9]+\\\\.attention' matches no linear layer", "attn.qkv"),
    ),
    "targets that are no pattern": (
        ("adapter.targets=blocks(",),
        ("targets: 'blocks('", "no regular expression"),
    ),
    "targets that markup would swallow": (
        ("adapter.targets='[/red]'",),
        ("targets: '[/red]' matches no linear layer",),
    ),
    "no targets behind the branch": (
        ("adapter.method=mtlora", "adapter.targets=blocks\\.0\\..*qkv"),
        ("targets:", "tasks would not differ"),
    ),
    "rank 0": (("adapter.rank=0",), ("rank: got 0", "greater than or equal to 1")),
    "more blocks than there are": (
        ("adapter.method=partial", "adapter.blocks=5"),
        ("blocks: got 5, the tower has 4",),
    ),
    "more blocks of tasks than there are": (
        ("adapter.method=mtlora", "adapter.blocks=5"),
        ("blocks: got 5, the tower has 4",),
    ),
    "DoRA with dropout": (
        ("adapter.method=dora", "adapter.dropout=0.1"),
        ("dropout: got 0.1", "DoRA needs 0"),
    ),
    "zero-shot without text": (
        (*NANO, "adapter.method=zero-shot", "head=text"),
        ("nano-vit-80 has no text tower", "PE-Core or SigLIP2"),
    ),
    "text heads without text": (
        (*NANO, *PROBE, "head=text"),
        ("head: got 'text'", "nano-vit-80 has no text tower"),
    ),
    "another head than the method's": (
        ("adapter.method=softcpt", "adapter.context=5", "head=mlp"),
        ("head: got 'mlp'", "needs head=text"),
    ),
    "unknown head": (("head=txt",), ("head: got 'txt'", "linear, mlp, coral, text")),
    "a size that is not the tower's": (
        ("sizes=[48]",),
        ("sizes: got 48", "PE-Core-micro takes 32 px"),
    ),
    "a size too small for a face": ((*NANO, *PROBE, "sizes=[8]"), ("sizes: got 8", "from 16")),
    "missing weights": (
        ("weights.tower=no/such/weights.pt",),
        ("no/such/weights.pt", "give a file"),
    ),
    "weights of another shape": (
        ("weights.tower={other}",),
        ("other.safetensors does not fit PE-Core-micro", "fit SigLIP2-micro"),
    ),
    "weights that are none": (("weights.tower={recipe}",), ("small.yaml", ".safetensors")),
    "weights nobody published": (
        ("weights.tower=",),
        ("no weights of PE-Core-micro are published", "random"),
    ),
    "weights that are not here": (
        BIG,
        ("timm/PE-Core-B-16", "open_clip_model.safetensors", "hf download"),
    ),
    "text weights that are not here": (
        (*BIG, *PROBE, "head=text"),
        ("timm/PE-Core-B-16", "open_clip_model.safetensors", "hf download"),
    ),
    "a tokenizer nobody published": (
        ("backbone=SigLIP2-micro", *PROBE, "head=text"),
        ("tokenizer", "give a folder"),
    ),
    "unknown task": (
        ("tasks=[gendre]",),
        ("unknown task 'gendre'", "Did you mean 'gender'"),
    ),
    "no task": (("tasks=[]",), ("tasks: got []", "gender, age_group, emotion")),
    "a task twice": (
        ("tasks=[gender, gender]",),
        ("tasks: got ['gender', 'gender']", "each task once"),
    ),
    "a name that no bundle may have": (("name=My Bundle",), ("name:", "'My Bundle'")),
    "a loss on a stem that is frozen": (("loss.stem=0.3",), ("loss.stem", "set 0")),
    "a loss for an order that is not there": (
        ("loss.by_task={emotion: coral}",),
        ("loss.by_task: got 'coral' for emotion", "it is for age_group"),
    ),
    "an imbalance corrected twice": (
        ("loss.by_task={emotion: logit-adjusted}",),
        ("loss.by_task: got 'logit-adjusted' for emotion", "set data.balance to 0"),
    ),
    "more copies than there is room for": (
        ("data.duplicate={emotion: 0.7, gender: 0.3}",),
        ("data.duplicate: got {'emotion': 0.7, 'gender': 0.3}", "sum below 1"),
    ),
    "unknown data set": (
        ("data.shares={FairFaces: 1.0}",),
        ("unknown data set 'FairFaces'", "Did you mean 'FairFace'"),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_recipe_is_refused_before_the_data_are_opened(
    case: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = written(tmp_path)
    places = {"{other}": str(other_shape(tmp_path)), "{recipe}": str(path)}
    settings, texts = BAD[case]
    words = []
    for setting in (*settings, f"data.root={tmp_path}/nothing"):
        for place, file in places.items():
            setting = setting.replace(place, file)
        words += ["--set", setting]
    monkeypatch.setattr(sources, "load_training", lambda *_: pytest.fail("looked for data first"))
    output = refusal(capsys, monkeypatch, "fit", str(path), "--run", str(tmp_path / "run"), *words)
    assert output.count("\n") == 1, output
    assert output.startswith("fsb-train: ")
    for text in texts:
        assert text in output


@pytest.mark.parametrize(
    ("shares", "texts"),
    [
        ("{FairFace: 1.0, UTKFace: 1.0}", ("UTKFace",)),
        ("{}", ("data.shares", "at least one")),
    ],
)
def test_missing_data_are_named_before_a_picture_is_read(
    shares: str,
    texts: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layouts.fairface(tmp_path / "data", "train")
    words = ["--set", f"data.root={tmp_path}/data", "--set", f"data.shares={shares}"]
    monkeypatch.setattr(sources, "open_faces", lambda *_: pytest.fail("read pictures first"))
    output = refusal(capsys, monkeypatch, "fit", str(written(tmp_path)), *words)
    for text in texts:
        assert text in output


def test_a_mapping_that_is_set_takes_the_place_of_the_recipes(tmp_path: Path) -> None:
    settings = ["data.shares={UTKFace: 0.5}", "adapter={method: vpt, prompts: 3}"]
    chosen = load_recipe(written(tmp_path), settings)
    assert chosen.data.shares == {"UTKFace": 0.5}
    assert chosen.adapter == VisualPrompts(prompts=3)


def test_a_run_of_another_recipe_is_refused_before_the_data_are_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, run = written(tmp_path), tmp_path / "run"
    trainer.save(trainer.begin(load_recipe(path), run, "cpu"), run)
    monkeypatch.setattr(sources, "load_training", lambda *_: pytest.fail("looked for data first"))
    words = ["fit", str(path), "--run", str(run), "--set", "seed=5"]
    assert "begun with another recipe" in refusal(capsys, monkeypatch, *words)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_lora_is_trained_and_shown_from_the_command_line(tmp_path: Path) -> None:
    root, run = layouts.everything(tmp_path / "data", count=10), tmp_path / "run"
    places = ["--set", f"data.root={root}", "--set", f"data.cache={tmp_path}/cache"]
    fit = ["fit", str(written(tmp_path)), "--run", str(run), "--device", "cpu", *places]
    assert "small@" in command("fsb_training.cli", *fit)
    shown = command("fsb_perception.cli", "bundle", "show", str(run / "bundle"))
    for text in ("small@", "PE-Core-micro", "lora", "rank", "mlp"):
        assert text in shown
    manifest = load_bundle(run / "bundle").manifest
    expected = Lora(rank=4).for_backbone(BACKBONES["PE-Core-micro"])
    assert manifest.adapter == {"method": "lora", **expected.model_dump()}
    assert manifest.head == "mlp"
    assert {entry.name for entry in manifest.training_data} == {"FairFace", "UTKFace", "FERPlus"}


def command(module: str, *words: str) -> str:
    """Run one of our commands in a process of its own; return its output."""
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("adapter.method=lora", "adapter.targets=nothing"), "matches no linear layer"),
        (("adapter.method=partial", "adapter.blocks=13"), "got 13, the tower has 12"),
        (("adapter.method=mtlora", "adapter.blocks=13"), "got 13, the tower has 12"),
    ],
)
def test_what_a_tower_cannot_do_is_said_before_its_weights_are_fetched(
    settings: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*_: object) -> None:
        pytest.fail("asked for the weights first")

    monkeypatch.setattr("fsb_perception.towers.weights.load_tower", fetch)
    wanted = ("weights.allow_download=true", "weights.tower=", "head=mlp")
    with pytest.raises(OptionError, match=message):
        load_recipe(written(tmp_path), ["backbone=PE-Core-B-16", "sizes=[224]", *wanted, *settings])
