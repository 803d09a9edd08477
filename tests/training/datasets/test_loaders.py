"""Every data set is read from its published layout, and what is wrong with it is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fsb_perception.tasks import TASKS
from fsb_training.datasets import DATASETS, load_part, load_training
from fsb_training.datasets.faceset import MISSING, AbsentError, DatasetError, FaceSet, NoFolderError
from tests.paths import ROOT
from tests.training.datasets import layouts


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layouts.every_published(tmp_path_factory.mktemp("data"))


def said(faces: FaceSet) -> dict[str, list[str]]:
    """Labels in words, "?" where unknown."""
    return {
        task: ["?" if n == MISSING else TASKS[task].labels[n] for n in column]
        for task, column in faces.labels.items()
    }


AGE_GROUPS = list(TASKS["age_group"].labels)
MEN = ["male", "female", "male", "female", "male"]
IN_ORDER = ["surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral", "surprise"]


@pytest.mark.parametrize(
    ("name", "part", "labels"),
    [
        ("RAF-DB", "train", {"emotion": IN_ORDER}),
        ("RAF-DB", "test", {"emotion": IN_ORDER}),
        ("CelebA-HQ", "all", {"gender": MEN}),
        ("CelebA-HQ", "train", {"gender": MEN[:2]}),
        ("CelebA-HQ", "val", {"gender": MEN[2:4]}),
        ("CelebA-HQ", "test", {"gender": MEN[4:]}),
        ("LFW", "all", {"gender": ["male", "male", "female", "female"]}),
        (
            "VGGFace2",
            "test",
            {
                "gender": ["male", "male", "female", "female"],
                "age_group": ["50-59", "?", "3-9", "?"],
            },
        ),
        ("FairFace", "val", {"gender": MEN[:2] * 4, "age_group": AGE_GROUPS[:8]}),
    ],
)
def test_labels_are_those_of_the_task_table(
    root: Path, name: str, part: str, labels: dict[str, list[str]]
) -> None:
    faces = load_part(root, name, part)
    assert said(faces) == labels
    assert all((faces.root / file).is_file() for file in faces.files)
    assert len(set(faces.files)) == len(faces)
    assert not faces.problems


def test_every_data_set_is_made_up_here(root: Path) -> None:
    for name in set(DATASETS) - {"CSV"}:
        assert all(len(load_part(root, name, part)) for part in DATASETS[name].parts)


def test_numbers_and_traits_follow_their_faces(root: Path) -> None:
    faces = load_part(root, "UTKFace", "all")
    ages = [int(file.split("_")[0]) for file in faces.files]
    assert faces.values["age_group"].tolist() == ages
    names = ("White", "Black", "Asian", "Indian", "Others")
    races = [names[int(file.split("_")[2])] for file in faces.files]
    assert faces.traits["race"].tolist() == races
    half = faces.subset(np.arange(1, len(faces), 2), "half")
    assert half.values["age_group"].tolist() == ages[1::2]
    assert half.traits["race"].tolist() == races[1::2]
    known = load_part(root, "VGGFace2", "test").values["age_group"]
    np.testing.assert_allclose(known, [57.3, np.nan, 9.9, np.nan], rtol=1e-6)


@pytest.mark.parametrize(("name", "aligned"), [("RAF-DB", True), ("CelebA-HQ", False)])
def test_published_crops_are_marked(root: Path, name: str, aligned: bool) -> None:
    assert load_training(root, name).aligned is aligned


def test_training_joins_the_parts(root: Path) -> None:
    faces = load_training(root, "CelebA-HQ")
    assert (len(faces), faces.part) == (4, "training")
    with pytest.raises(DatasetError, match="VGGFace2 has no part to learn from"):
        load_training(root, "VGGFace2")


def test_rafdb_may_lie_as_in_its_archive(tmp_path: Path) -> None:
    layouts.rafdb(tmp_path, 2, folder="RAF-DB/basic")
    assert len(load_part(tmp_path, "RAF-DB", "test")) == 2


# Unusable entries are counted, and the first of each kind is named.


def _rafdb(root: Path) -> None:
    table = layouts.rafdb(root, 3)
    table.write_text(table.read_text() + "valid_1.jpg 3\ntrain_9.jpg 3\n")


def _celeba(root: Path) -> None:
    layouts.celeba_hq(root)
    folder = root / "CelebAMask-HQ"
    (folder / "CelebA-HQ-img/1.jpg").unlink()
    mapping = folder / "CelebA-HQ-to-CelebA-mapping.txt"
    mapping.write_text("".join(mapping.read_text().splitlines(keepends=True)[:-1]))


def _lfw(root: Path) -> None:
    folder = layouts.lfw(root)
    layouts.picture(folder / "Who_Knows/Who_Knows_0001.jpg", seed=1)
    with (folder / "female_names.txt").open("a") as file:
        file.write("Abel_Pacheco_0001.jpg\n\nNobody\nNot_There_0001.jpg\n")


def _vggface2(root: Path) -> None:
    layouts.vggface2(root, meta=('n000009, "Quoted, Name", 3, 0, f\n',), ages="n9/1.jpg,30\n")


def _utkface(root: Path) -> None:
    layouts.utkface(root, 2)
    for name in ("121_0_0_20170109000000000", "20_2_0_20170109000000000"):
        (root / f"UTKFace/{name}.jpg.chip.jpg").touch()


def _own(root: Path) -> None:
    layouts.own_table(root, "file,gender\n0.jpg,male\n9.jpg,male\n1.jpg,\n,female\n")


@pytest.mark.parametrize(
    ("make", "spec", "count", "problems"),
    [
        (
            _rafdb,
            "RAF-DB:train",
            3,
            {
                "name of neither train nor test": "label.txt:7",
                "picture is not there": "train_9_aligned.jpg",
            },
        ),
        (
            _celeba,
            "CelebA-HQ:train",
            1,
            {
                "picture is not there": "anno.txt:4",
                "not in CelebA-HQ-to-CelebA-mapping.txt": "anno.txt:7",
            },
        ),
        (
            _lfw,
            "LFW:all",
            3,
            {
                "in both gender lists": "female_names.txt:3",
                "malformed name": "female_names.txt:5",
                "picture is not there": "female_names.txt:6",
                "in neither gender list": "Who_Knows_0001.jpg",
            },
        ),
        (
            _vggface2,
            "VGGFace2:test",
            2,
            {
                "person is not in identity_meta.csv": "n000001/0001_01.jpg",
                "picture is not there": "detected.csv:1",
            },
        ),
        (
            _utkface,
            "UTKFace:all",
            2,
            {
                "age above 120 years": "121_0_0_20170109000000000.jpg.chip.jpg",
                "malformed name": "20_2_0_20170109000000000.jpg.chip.jpg",
            },
        ),
        (_own, "CSV:train", 1, {"picture is not there": "train.csv:3", "no label": "train.csv:4"}),
    ],
)
def test_what_is_left_out_is_counted_with_an_example(
    tmp_path: Path,
    make: Callable[[Path], None],
    spec: str,
    count: int,
    problems: dict[str, str],
) -> None:
    make(tmp_path)
    faces = load_part(tmp_path, *spec.split(":"))
    assert len(faces) == count
    assert set(faces.problems) == set(problems)
    for reason, where in problems.items():
        assert faces.problems.first[reason].endswith(where)
    assert len(faces.problems.sentences()) == len(problems)


# A table that is not the published one stops the load, by file and line.

CELEBA = "CelebAMask-HQ/CelebAMask-HQ-attribute-anno.txt"
MAPPING = "CelebAMask-HQ/CelebA-HQ-to-CelebA-mapping.txt"
RAFDB = "RAF-DB/EmoLabel/list_patition_label.txt"
META = "VGGFace2/identity_meta.csv"
AGES = "VGGFace2/test.age_detected.csv"
FERPLUS = "FERPlus/fer2013new.csv"
HEADER = layouts.VGGFACE2_HEADER
VOTES = ",".join(layouts.FERPLUS_HEADER) + "\n"


FAIRFACE = "FairFace/fairface_label_train.csv"
FACES = ",".join(layouts.FAIRFACE_HEADER) + "\n"


@pytest.mark.parametrize("name", DATASETS)
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(NoFolderError, match=rf"there is no folder .*{name}.* below {tmp_path}"):
        load_part(tmp_path, name, DATASETS[name].parts[0])


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(AbsentError, match=rf"{tmp_path / name}") as caught:
        load_part(tmp_path, name, DATASETS[name].parts[0])
    assert "there is no " in str(caught.value) or "holds nothing" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content", "part", "message"),
    [
        (FAIRFACE, "file,age,sex,race\n", "train", "csv:1: header .* lacks gender"),
        (FAIRFACE, f"{FACES}1.jpg,20-30,Male,Black,False\n", "train", "csv:2: unknown label '20-"),
        (FAIRFACE, f"{FACES}1.jpg,0-2,male,Black,False\n", "train", "csv:2: unknown label 'male'"),
        (RAFDB, "train_00001.jpg 1\ntrain_00002.jpg 8\n", "train", "txt:2: unknown label '8'"),
        (RAFDB, "train_00001.jpg\n", "train", "txt:1: 1 words"),
        (CELEBA, "many\nMale\n", "all", "txt:1: the first line must be"),
        (CELEBA, "1\nMale Young\n0.jpg  1 1\n", "all", "txt:2: 2 names, expected"),
        (CELEBA, f"2\n{' '.join(layouts.CELEBA_NAMES)}\n0.jpg 1\n", "all", "2 pictures are ann"),
        (CELEBA, f"1\n{' '.join(layouts.CELEBA_NAMES)}\n0.jpg 1\n", "all", "txt:3: 1 attributes"),
        (
            CELEBA,
            f"1\n{' '.join(layouts.CELEBA_NAMES)}\n{layouts.celeba_row(0, '0')}",
            "all",
            "txt:3: unknown label '0'",
        ),
        (MAPPING, "idx,orig_idx\n", "test", "txt:1: header 'idx,orig_idx'"),
        (MAPPING, "idx orig_idx orig_file\n0 5 999999.jpg\n", "test", "txt:2: '0 5 999999.jpg'"),
        (META, "Class_ID, Name, Sex\n", "test", "csv:1: header .* lacks Gender"),
        (META, f"{HEADER}n000001, A, B, 1, 0, m\n", "test", "csv:2: 6 fields, but the header has"),
        (META, f'{HEADER}n000001, "A, B", 1, 0, x\n', "test", "csv:2: unknown label 'x'"),
        (AGES, "n000001/0001_01.jpg,57\nn000001/0002_01.jpg,-3\n", "test", "csv:2: age '-3'"),
        (AGES, "n000001/0001_01.jpg,nan\n", "test", "csv:1: age 'nan'"),
        (AGES, "n000001/0001_01.jpg,old\n", "test", "csv:1: age 'old'"),
        (AGES, "n000001/0001_01.jpg\n", "test", "csv:1: 1 fields"),
        (FERPLUS, f"{VOTES}Training,1.png,ten{',0' * 9}\n", "train", "csv:2: neutral has 'ten'"),
        (FERPLUS, f"{VOTES}Practice,1.png{',0' * 10}\n", "train", "csv:2: unknown Usage 'Pra"),
        (FERPLUS, f"{VOTES}Training,1.png,9\n", "train", "csv:2: 3 fields, but the header has 12"),
    ],
)  # fmt: skip
def test_a_table_that_is_not_the_published_one_is_named(
    tmp_path: Path, file: str, content: str, part: str, message: str
) -> None:
    names = {"CelebAMask-HQ": "CelebA-HQ"}
    name = names.get(file.split("/")[0], file.split("/")[0])
    if name == "CelebA-HQ":
        layouts.celeba_hq(tmp_path)
    if name == "VGGFace2":
        layouts.vggface2(tmp_path)
    layouts.text(tmp_path / file, content)
    with pytest.raises(DatasetError, match=message) as caught:
        load_part(tmp_path, name, part)
    assert str(tmp_path / file) in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "labels"),
    [
        ("file,gender\n0.jpg,female\n1.jpg,male\n", {"gender": ["female", "male"]}),
        ("file,age\n0.jpg,2\n1.jpg,70.5\n", {"age_group": ["0-2", "70+"]}),
        ("file,age_group\n0.jpg,30-39\n1.jpg,34\n", {"age_group": ["30-39", "30-39"]}),
        (
            "\ufeffemotion,file,age\nfear,0.jpg,\n,1.jpg,9\n",
            {"emotion": ["fear", "?"], "age_group": ["?", "3-9"]},
        ),
    ],
)
def test_own_tables_take_labels_and_years(
    tmp_path: Path, lines: str, labels: dict[str, list[str]]
) -> None:
    layouts.own_table(tmp_path, lines)
    faces = load_part(tmp_path, "CSV", "train")
    assert said(faces) == labels
    assert faces.files == ("0.jpg", "1.jpg")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("picture,gender\n0.jpg,male\n", "csv:1: header 'picture, gender' lacks file"),
        ("file\n0.jpg\n", "csv:1: only the column file; add one of gender, age_group"),
        ("file,gendre\n0.jpg,male\n", "csv:1: unknown column 'gendre'. Did you mean 'gender'"),
        ("file,age,age_group\n0.jpg,3,3-9\n", "csv:1: more than one column holds age_group"),
        ("file,gender\n0.jpg,male\n1.jpg,man\n", "csv:3: unknown label 'man'."),
        ("file,gender\n0.jpg,1\n", "csv:2: unknown label '1'"),
        ("file,age\n0.jpg,130\n", "csv:2: age '130' is not a number of years from 0 to 120"),
        ("file,age\n0.jpg,20-39\n", "csv:2: unknown label '20-39'"),
        ("file,gender\n0.jpg,male,3\n", "csv:2: 3 fields, but the header has 2"),
        ("", "csv:1: header '' lacks file"),
    ],
)
def test_own_tables_are_checked(tmp_path: Path, lines: str, message: str) -> None:
    layouts.own_table(tmp_path, lines)
    with pytest.raises(DatasetError, match=message):
        load_part(tmp_path, "CSV", "train")


def test_a_table_in_another_encoding_is_named(tmp_path: Path) -> None:
    layouts.own_table(tmp_path, "").write_bytes("file,gender\nä.jpg,male\n".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"train.csv is no CSV file in UTF-8"):
        load_part(tmp_path, "CSV", "train")


def test_a_part_that_is_not_there_is_absent(tmp_path: Path) -> None:
    layouts.own_table(tmp_path, "file,gender\n0.jpg,male\n")
    with pytest.raises(AbsentError, match=r"there is no .*val.csv"):
        load_part(tmp_path, "CSV", "val")


def test_the_guide_lists_every_data_set_with_its_parts() -> None:
    page = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\S+)` \| [^|]+ \| ([^|]+) \|", page, re.MULTILINE))
    assert listed == {
        name: f"{', '.join(loader.parts)} ({', '.join(loader.training_parts) or 'none'})"
        for name, loader in DATASETS.items()
    } | {"CelebA-HQ": "train, val, test; all (train, val)"}


def test_a_picture_with_two_labels_is_counted_and_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "CSV"
    for n in range(3):
        layouts.picture(folder / f"{n}.jpg", seed=n)
    (folder / "train.csv").write_text(
        "file,gender,emotion\n0.jpg,female,\n./0.jpg,male,\n1.jpg,male,\n1.jpg,male,\n"
        "2.jpg,male,\n2.jpg,,happiness\n"
    )
    faces = load_part(tmp_path, "CSV", "train")
    assert faces.files == ("1.jpg", "2.jpg", "2.jpg")
    assert dict(faces.problems) == {
        "picture is listed with two labels": 2,
        "picture is listed again": 1,
    }
