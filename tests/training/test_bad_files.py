"""A file or folder that cannot be read or written is one line: its name, the fault, the mend."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fsb_training.learning import trainer
from fsb_training.recipe import load_recipe
from tests.training.datasets import layouts
from tests.training.refusals import refusal, written

Words = list[str]


def long_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    del monkeypatch
    return ["fit", str(written(folder)), "--run", str(folder / ("r" * 300))]


def run_below_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    del monkeypatch
    (folder / "file").write_text("")
    return ["fit", str(written(folder)), "--run", str(folder / "file" / "run")]


def read_only_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    return ["fit", str(written(folder)), "--run", str(folder / "run")]


def full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    del monkeypatch
    (folder / "run").mkdir()
    (folder / "run" / "recipe.json.partial").symlink_to("/dev/full")
    return ["fit", str(written(folder)), "--run", str(folder / "run")]


def cache_below_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    del monkeypatch
    (folder / "file").write_text("")
    layouts.everything(folder / "data", count=8)
    places = ["--set", f"data.root={folder}/data", "--set", f"data.cache={folder}/file/cache"]
    return ["fit", str(written(folder)), "--run", str(folder / "run"), "--device", "cpu", *places]


def recipe_in_latin_1(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    del monkeypatch
    path = written(folder)
    path.write_bytes(b"# Gr\xfc\xdfe\n" + path.read_bytes())
    return ["fit", str(path)]


def recipe_that_is_no_yaml(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    del monkeypatch
    path = folder / "broken.yaml"
    path.write_text("name: [a\nseed: {\n", encoding="utf-8")
    return ["fit", str(path)]


def table_in_latin_1(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    del monkeypatch
    root = layouts.everything(folder / "data", count=8)
    table = root / "FairFace" / "fairface_label_train.csv"
    table.write_bytes(table.read_bytes() + b"train/1.jpg,3-9,Male,Gr\xfc\xdfe,True\n")
    run = ["--run", str(folder / "run"), "--device", "cpu"]
    return ["fit", str(written(folder)), *run, "--set", f"data.root={root}"]


def begun(folder: Path) -> Words:
    """Begin a run of the small recipe; return the words that continue it."""
    path, run = written(folder), folder / "run"
    trainer.save(trainer.begin(load_recipe(path), run, "cpu"), run)
    return ["fit", str(path), "--run", str(run), "--device", "cpu"]


def damaged_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    del monkeypatch
    words = begun(folder)
    checkpoint = folder / "run" / trainer.CHECKPOINT
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    return words


def flipped_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    del monkeypatch
    words = begun(folder)
    checkpoint = folder / "run" / trainer.CHECKPOINT
    data = bytearray(checkpoint.read_bytes())
    data[len(data) // 2] ^= 1
    checkpoint.write_bytes(data)
    return words


def empty_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    del monkeypatch
    words = begun(folder)
    (folder / "run" / trainer.CHECKPOINT).write_bytes(b"")
    return words


def recipe_of_the_run_damaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    del monkeypatch
    words = begun(folder)
    (folder / "run" / "recipe.json").write_bytes(b"\xff")
    return words


# The function that spoils a file, and what the line must contain.
BAD: dict[Callable[[Path, pytest.MonkeyPatch], Words], tuple[str, ...]] = {
    long_name: ("rrr", "File name too long", "choose a shorter name"),
    run_below_a_file: ("file/run", "Not a directory", "name a folder"),
    read_only_disk: ("/run", "Read-only file system", "name a folder that can be written"),
    full_disk: ("run/recipe.json", "No space left on device", "make room", "bytes are free"),
    cache_below_a_file: ("file/cache", "Not a directory", "name a folder"),
    recipe_in_latin_1: ("small.yaml", "utf-8", "convert"),
    recipe_that_is_no_yaml: ("broken.yaml", "line 2"),
    table_in_latin_1: ("fairface_label_train.csv", "UTF-8", "convert"),
    damaged_checkpoint: ("run/checkpoint.pt", "damaged", "remove"),
    flipped_checkpoint: ("run/checkpoint.pt", "damaged", "checksum", "remove"),
    empty_checkpoint: ("run/checkpoint.pt", "damaged", "remove"),
    recipe_of_the_run_damaged: ("another recipe", "run/recipe.json"),
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_a_bad_file_is_refused_in_one_line(
    spoil: Callable[[Path, pytest.MonkeyPatch], Words],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = spoil(tmp_path, monkeypatch)
    line = refusal(capsys, monkeypatch, *words)
    assert line.count("\n") == 1, line
    assert line.startswith("fsb-train: ")
    for text in BAD[spoil]:
        assert text in line


HOLD = """
import sys
from pathlib import Path
from fsb_training.locks import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_of_two_runs_in_one_folder_the_second_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    words = ["fit", str(written(tmp_path)), "--run", str(run), "--device", "cpu"]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        line = refusal(capsys, monkeypatch, *words)
        first.kill()  # as the system does when memory runs out: it frees the folder
    assert line.count("\n") == 1
    for text in (str(run), "in use by another run", f"process {first.pid}", "--run"):
        assert text in line
    assert "data.root" in refusal(capsys, monkeypatch, *words)
