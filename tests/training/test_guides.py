"""The commands of the guides run, one after the other, as somebody would type them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fsb_perception.bundles.bundle import load_bundle
from fsb_training.cli import app
from fsb_training.recipe import load_recipe
from fsb_training.recipe_files import find_recipe, shipped_recipes
from tests.house.test_readme import assert_accepted
from tests.paths import ROOT
from tests.training.datasets import layouts

PHOTO = ROOT / "fsb_perception/samples/hopper.jpg"
# Appended to what a guide has people type: the same work in seconds.
TINY = {
    "fit": (
        "optimiser.images=16", "optimiser.batch_size=8", "optimiser.warmup_images=0", "sizes=[32]",
        "data.dev_share=0.4",
    ),
}  # fmt: skip
SERVES_FOR_EVER = ("demo",)


# One process for each guide, so torch is imported once. First comes the code that a guide adds.
RUN = r"""
import importlib, json, sys
code, typed = json.loads(sys.argv[1])
if code.startswith("Task("):
    import fsb_perception.tasks as tasks
    row = eval(code, vars(tasks))
    tasks.TASKS = tasks.Registry("task", {**tasks.TASKS, row.name: row})
elif code:
    import fsb_training.datasets as datasets
    from fsb_perception.registry import Registry
    loader, row = code.rsplit("\0", 1)
    exec(loader)
    table = {**datasets.DATASETS, **eval("{" + row + "}")}
    datasets.DATASETS = Registry("data set", table)
modules = {"fsb": "fsb_perception.cli", "fsb-train": "fsb_training.cli"}
for words in typed:
    sys.argv = words
    print("$", *words, flush=True)
    try:
        importlib.import_module(modules[words[0]]).main()
    except SystemExit as end:
        assert not end.code, end
"""


def text_of(guide: str) -> str:
    return (ROOT / "docs" / guide).read_text(encoding="utf-8")


def blocks(guide: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(guide), re.MULTILINE | re.DOTALL)


def typed(guide: str) -> list[list[str]]:
    return [shlex.split(line) for block in blocks(guide, "bash") for line in block.splitlines()]


def tiny(words: list[str]) -> list[str]:
    settings = TINY.get(words[1], ())
    rest = [text for setting in settings for text in ("--set", setting)]
    return [*words, *rest, *(["--device", "cpu", "--threads", "1"] if words[1] == "fit" else [])]


def follow(guide: str, folder: Path, code: str = "") -> str:
    """Run all commands of a guide in ``folder``; return their output."""
    shutil.copy(PHOTO, folder / "PHOTO.jpg")
    commands = [tiny(words) for words in typed(guide) if words[1] not in SERVES_FOR_EVER]
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps([code, commands])],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "140", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.long
@pytest.mark.timeout(300)
def test_training_ones_own_bundle(tmp_path: Path) -> None:
    lines = "file,gender,age,emotion\n"
    emotions = ("happiness", "neutral", "anger")
    for n in range(16):
        lines += f"{n}.jpg,{('male', 'female')[n % 2]},{5 * n},{emotions[n % 3]}\n"
    for part in ("train", "test"):
        layouts.own_table(tmp_path / "data", lines, part, pictures=16)
    (mine,) = blocks("train.md", "yaml")
    (tmp_path / "mine.yaml").write_text(mine, encoding="utf-8")
    assert set(load_recipe(tmp_path / "mine.yaml").data.shares) == {"CSV", "UTKFace"}
    output = follow("train.md", tmp_path)
    assert (tmp_path / "spread.png").is_file()
    assert (tmp_path / "PHOTO_fsb.jpg").is_file()
    assert "yours@" in output
    before, after = re.search(r"CSV +│ agreement +│ +(\d+) │ +(\d+) │", output).groups()
    assert int(before) == 16 > int(after)  # nano does not agree with random labels
    manifest = load_bundle(tmp_path / "runs/yours/bundle").manifest
    # Of its own pictures, and of those that nano had learned from before.
    known = {entry.name: entry.licence for entry in manifest.training_data}
    assert set(known) == {"CSV", "FairFace", "UTKFace", "FERPlus"}
    assert "non-commercial" in known["UTKFace"]
    assert manifest.recipe["weights"]["bundle"] == "nano"
    assert set(manifest.metrics["CSV:dev"]) == {"gender", "age_group", "emotion"}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_adding_a_data_set(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for n, emotion in enumerate(("happiness", "sadness") * 6):
            layouts.picture(tmp_path / f"data/Moods/{part}/{emotion}/{n}.jpg", seed=n)
    code = "\0".join(blocks("add-a-dataset.md", "python"))
    output = follow("add-a-dataset.md", tmp_path, code)
    assert re.search(r"Moods +│ train +│ +12 │ +0 │ emotion", output)
    entries = load_bundle(tmp_path / "runs/yours/bundle").manifest.training_data
    assert ("Moods", "CC BY 4.0") in [(entry.name, entry.licence) for entry in entries]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_adding_a_task(tmp_path: Path) -> None:
    kinds = ("none", "glasses", "sunglasses")
    rows = [f"{n}.jpg,{('male', 'female')[n % 2]},{kinds[n % 3]}\n" for n in range(16)]
    layouts.own_table(tmp_path / "data", "".join(["file,gender,glasses\n", *rows]), pictures=16)
    (code,) = blocks("add-a-task.md", "python")
    output = follow("add-a-task.md", tmp_path, code)
    assert re.search(r"sunglasses +│ +5 ", output)
    # This process has never heard of glasses: the bundle runs all the same.
    bundle = load_bundle(tmp_path / "runs/yours/bundle")
    assert {task.name: task.labels for task in bundle.manifest.tasks}["glasses"] == kinds
    assert set(bundle.build_model().heads) == {"gender", "glasses"}


@pytest.mark.parametrize("guide", ["train.md", "add-a-dataset.md", "add-a-task.md"])
def test_what_serves_for_ever_is_accepted(guide: str) -> None:
    for words in typed(guide):
        if words[1] in SERVES_FOR_EVER:
            assert_accepted(words[1:])


def test_every_recipe_is_listed() -> None:
    listed = set(re.findall(r"`([^`\s]+)`", text_of("train.md")))
    for name in shipped_recipes():
        assert name.removeprefix("mission/") in listed


def test_combinations_of_the_table_are_accepted() -> None:
    """Check the table alone; test_recipes.py loads the recipes."""
    import typer

    fit = typer.main.get_command(app).commands["fit"]
    table = re.findall(r"^\| [^|]+ \| `fsb-train fit (.*)` \|$", text_of("train.md"), re.MULTILINE)
    assert len(table) == 4
    for line in table:
        recipe, *rest = shlex.split(line)
        assert fit.make_context("fit", [recipe, *rest])
        assert find_recipe(recipe)


LINKS: list[tuple[str, str]] = [
    (guide, link)
    for guide in ("train.md", "add-a-dataset.md", "add-a-task.md", "datasets.md")
    for link in re.findall(r"\]\(([^):]+)\)", text_of(guide))
]
slug: Callable[[str], str] = lambda title: re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")  # noqa: E731


@pytest.mark.parametrize(("guide", "link"), LINKS)
def test_links_lead_somewhere(guide: str, link: str) -> None:
    file, _, heading = link.partition("#")
    target = text_of(file or guide)
    titles = {slug(title) for title in re.findall(r"^#+ (.+)$", target, re.MULTILINE)}
    assert not heading or heading in titles
