from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS, age_group
from fsb_training.datasets import DATASETS, load_part, load_training
from fsb_training.datasets.faceset import MISSING, DatasetError
from tests.training.datasets import layouts


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layouts.everything(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(
    ("name", "part", "tasks", "first"),
    [
        ("FairFace", "train", ("gender", "age_group"), {"gender": "male", "age_group": "0-2"}),
        ("FairFace", "val", ("gender", "age_group"), {"gender": "male", "age_group": "0-2"}),
        ("UTKFace", "all", ("gender", "age_group"), {"gender": "female", "age_group": "10-19"}),
        ("FERPlus", "train", ("emotion",), {"emotion": "neutral"}),
        ("FERPlus", "valid", ("emotion",), {"emotion": "neutral"}),
        ("FERPlus", "test", ("emotion",), {"emotion": "neutral"}),
    ],
)
def test_published_layouts_are_read(
    root: Path, name: str, part: str, tasks: tuple[str, ...], first: dict[str, str]
) -> None:
    faces = load_part(root, name, part)
    assert len(faces) == 8
    assert set(faces.labels) == set(tasks)
    assert all((faces.root / file).is_file() for file in faces.files)
    assert {t: TASKS[t].labels[column[0]] for t, column in faces.labels.items()} == first
    assert all((column != MISSING).all() for column in faces.labels.values())


@pytest.mark.parametrize(
    ("years", "label"),
    [
        (0, "0-2"),
        (2, "0-2"),
        (3, "3-9"),
        (9, "3-9"),
        (10, "10-19"),
        (69, "60-69"),
        (70, "70+"),
        (116, "70+"),
    ],
)
def test_ages_fall_into_groups(years: int, label: str) -> None:
    assert TASKS["age_group"].labels[age_group(years)] == label


def test_a_negative_age_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        age_group(-1)


@pytest.mark.parametrize(
    ("votes", "reason"),
    [
        ({"anger": 6, "neutral": 4}, None),
        ({"anger": 5, "neutral": 5}, "top vote shared"),
        ({"contempt": 6, "neutral": 4}, "top vote is contempt"),
        ({"unknown": 6, "neutral": 4}, "top vote is unknown"),
        ({"NF": 10}, "top vote is not a face"),
    ],
)
def test_ferplus_keeps_single_top_votes(
    tmp_path: Path, votes: dict[str, int], reason: str | None
) -> None:
    clear = ("Training", "fer0000000.png", 10, *[0] * 9)
    row = ("Training", "fer0000001.png", *[votes.get(c, 0) for c in layouts.FERPLUS_HEADER[2:]])
    layouts.table(tmp_path / "FERPlus/fer2013new.csv", layouts.FERPLUS_HEADER, [clear, row])
    for name in ("fer0000000", "fer0000001"):
        # As JPEG, though the table says PNG: some copies are kept so.
        layouts.picture(tmp_path / f"FERPlus/FER2013Train/{name}.jpg", seed=1)
    faces = load_part(tmp_path, "FERPlus", "train")
    assert len(faces) == (2 if reason is None else 1)
    assert dict(faces.problems) == ({} if reason is None else {reason: 1})
    if reason is None:
        assert TASKS["emotion"].labels[faces.labels["emotion"][1]] == "anger"
        np.testing.assert_allclose(faces.soft_labels["emotion"][1].sum(), 1)
        assert faces.soft_labels["emotion"][1].max() == pytest.approx(0.6)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    layouts.fairface(tmp_path)
    (tmp_path / "FairFace/train/3.jpg").unlink()
    layouts.utkface(tmp_path)
    (tmp_path / "UTKFace/39_1_20170116174525125.jpg.chip.jpg").touch()
    assert load_part(tmp_path, "FairFace", "train").problems == {"picture is not there": 1}
    assert load_part(tmp_path, "UTKFace", "all").problems == {"malformed name": 1}


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_a_missing_data_set_names_the_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=name):
        load_training(tmp_path, name)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (("file", "age", "sex"), ("train/1.jpg", "0-2", "Male"), "csv:1: header"),
        (
            layouts.FAIRFACE_HEADER,
            ("train/1.jpg", "0-2", "male", "", ""),
            "csv:2: unknown label 'male'",
        ),
        (
            layouts.FAIRFACE_HEADER,
            ("train/1.jpg", "1-2", "Male", "", ""),
            "csv:2: unknown label '1-2'",
        ),
    ],
)
def test_a_wrong_table_names_file_and_line(
    tmp_path: Path, header: tuple[str, ...], row: tuple[object, ...], message: str
) -> None:
    layouts.table(tmp_path / "FairFace/fairface_label_train.csv", header, [row])
    with pytest.raises(DatasetError, match=message):
        load_part(tmp_path, "FairFace", "train")


def test_unknown_names_are_answered_with_the_known(root: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'FairFace'"):
        load_part(root, "Fairface", "train")
    with pytest.raises(UnknownNameError, match="train, val"):
        load_part(root, "FairFace", "test")
