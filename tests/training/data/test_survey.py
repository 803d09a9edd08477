"""``fsb-train data``: what is there, how it is spread, and what is wrong, on made-up roots."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_training.cli import app
from fsb_training.data.survey import histogram, survey
from fsb_training.datasets import DATASETS, load_part
from fsb_training.datasets.faceset import DatasetError
from tests.training.datasets import layouts


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write every published data set, and a broken table of one's own."""
    root = layouts.every_published(tmp_path_factory.mktemp("data"))
    (root / "FairFace/fairface_label_val.csv").unlink()
    (root / "UTKFace/39_1_20170116174525125.jpg.chip.jpg").touch()
    layouts.own_table(root, "file,gender\n0.jpg,male\n1.jpg,man\n", "test")
    return root


def data(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, words)], env={"COLUMNS": "100"})


def rows(output: str) -> list[list[str]]:
    """Cells of every row of every table."""
    lines = [line for line in output.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_everything_is_told(root: Path) -> None:
    result = data("--root", root)
    assert result.exit_code == 1  # for the broken table
    table = rows(result.output)
    for name, part, count, left_out, tasks in (
        ("FairFace", "train", "8", "0", "gender, age_group"),
        ("FERPlus", "valid", "8", "0", "emotion"),
        ("UTKFace", "all", "8", "1", "gender, age_group"),
        ("RAF-DB", "test", "8", "0", "emotion"),
        ("CelebA-HQ", "val", "2", "0", "gender"),
        ("LFW", "all", "4", "0", "gender"),
        ("VGGFace2", "test", "4", "0", "gender, age_group"),
        ("CSV", "test", "-", "-", "cannot be read"),
    ):
        assert [name, part, count, left_out, tasks] in table
    assert not [row for row in table if row[:2] == ["CelebA-HQ", "all"]]  # the others again
    text = result.output
    assert "UTKFace:all: 1 left out: malformed name, for instance " in text
    assert "39_1_20170116174525125.jpg.chip.jpg" in text
    assert f"CSV:test: {root / 'CSV/test.csv'}:3: unknown label 'man'" in text
    assert (
        f"FairFace:val is not there: there is no {root / 'FairFace/fairface_label_val.csv'}" in text
    )
    assert "Not there" not in text


def test_histograms_hold_every_face(root: Path) -> None:
    result = data("--root", root, "--datasets", "VGGFace2", "UTKFace:all")
    assert result.exit_code == 0
    table = rows(result.output)
    assert ["male", "2", "4"] in table
    assert ["0-2", "0", "1"] in table  # of 1, 11, 21, ... years
    assert ["50-59", "1", "1"] in table
    assert ["unknown", "2", "0"] in table  # the ages that MIVIA's table lacks


@pytest.mark.parametrize(
    "spec", ["FairFace:train", "FERPlus:test", "RAF-DB:train", "VGGFace2:test"]
)
def test_histograms_count_each_face_once(root: Path, spec: str) -> None:
    faces = load_part(root, *spec.split(":"))
    for task in faces.labels:
        counts, unknown = histogram(faces, task)
        assert counts.sum() + unknown == len(faces)


def test_an_empty_root_says_what_could_be_there(tmp_path: Path) -> None:
    result = data("--root", tmp_path)
    assert result.exit_code == 1
    assert f"There is no such data set below {tmp_path}." in result.output
    assert "docs/datasets.md" in result.output
    absent = result.output.partition("Not there: ")[2].partition(".")[0]
    assert set(absent.split(", ")) == set(DATASETS)


def test_what_is_asked_for_must_be_there(root: Path, tmp_path: Path) -> None:
    layouts.utkface(tmp_path, 2)
    assert data("--root", tmp_path).exit_code == 0
    assert data("--root", tmp_path, "--datasets", "UTKFace", "LFW").exit_code == 1
    assert data("--root", root, "--datasets", "FairFace:val").exit_code == 1


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (("--root", "{root}/nowhere"), DatasetError, "there is no folder .*nowhere"),
        (("--root", "{root}", "--datasets", "UTKFaces"), UnknownNameError, "mean 'UTKFace'"),
        (("--root", "{root}", "--datasets", "LFW:train"), UnknownNameError, "part of LFW 'train'"),
        (("--root", "{root}", "--picture", "a.gif"), OptionError, "must end in .png"),
        (("--root", "{root}", "--picture", "{root}/b/a.png"), OptionError, "no folder .*/b"),
    ],
)
def test_bad_input_is_refused(
    root: Path, words: tuple[str, ...], error: type[Exception], message: str
) -> None:
    result = data(*(word.format(root=root) for word in words))
    with pytest.raises(error, match=message):
        raise result.exception or AssertionError("it was accepted")


def test_pictures_are_opened_if_asked(tmp_path: Path) -> None:
    layouts.utkface(tmp_path, 3)
    (broken,) = (tmp_path / "UTKFace").glob("11_*")
    broken.write_bytes(b"no picture")
    assert "cannot be read" not in data("--root", tmp_path).output
    text = data("--root", tmp_path, "--open-pictures").output
    assert f"1 left out: picture cannot be read, for instance {broken}" in text


def test_the_picture_has_a_panel_for_each_data_set(root: Path, tmp_path: Path) -> None:
    from fsb_training.commands.histograms import draw

    file = tmp_path / "spread.png"
    assert f"Drawn: {file}" in data("--root", root, "--picture", file).output
    assert np.ptp(cv2.imread(str(file))) == 255
    panels = [axes for axes in draw(survey(root)).axes if axes.axison]
    titles = [axes.get_title() for axes in panels]
    assert titles == [
        *("CelebA-HQ: 5", "FairFace: 8", "LFW: 4", "UTKFace: 8", "VGGFace2: 4"),
        *("FairFace: 8", "UTKFace: 8", "VGGFace2: 2"),
        *("FERPlus: 24", "RAF-DB: 16"),
    ]
    bars = [sum(bar.get_height() for bar in axes.patches) for axes in panels]
    assert bars == [int(title.split(": ")[1]) for title in titles]
