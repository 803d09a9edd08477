"""Filters: the faces that they leave out, their counts, and the manifest's record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fsb_perception.options import OptionError, build
from fsb_perception.registry import UnknownNameError
from fsb_training.cli import app
from fsb_training.commands.options import CONSOLE
from fsb_training.data.sources import filter_records, open_sources, training_counts
from fsb_training.datasets import load_part, load_training
from fsb_training.datasets.faceset import DatasetError, FaceSet
from fsb_training.export import manifest_of
from fsb_training.filters import FilterOptions, filtered, open_filters
from fsb_training.filters.celebrities import plain_name
from fsb_training.recipe import Recipe
from tests.training.datasets import layouts

PREDICTIONS = "dataset,task,file,true,p0,p1,p2,p3,p4,p5,p6,p7,p8\n"


def opinion(task: str, file: str, *chances: float, dataset: str = "FairFace") -> str:
    padding = [""] * (9 - len(chances))
    return ",".join([dataset, task, file, "0", *map(str, chances), *padding]) + "\n"


def ages(best: int, chance: float = 0.6) -> list[float]:
    row = [(1 - chance) / 8] * 9
    row[best] = chance
    return row


def kept(faces: FaceSet, root: Path, **options: object) -> tuple[set[str], dict[str, int]]:
    """Files that stay, and how many were left out or stayed for which reason."""
    chosen = build(FilterOptions, {f"{k}.{n}": v for k, g in options.items() for n, v in g.items()})
    left, rows, outcomes = filtered(faces, open_filters(chosen, root, [faces.name]))
    assert [faces.files[row] for row in rows] == list(left.files)
    for outcome in outcomes:
        assert outcome.before - outcome.problems.total() == outcome.after
    reasons = [(reason, n) for o in outcomes for reason, n in (o.problems + o.kept).items()]
    return set(left.files), dict(reasons)


@pytest.fixture
def fairface(tmp_path: Path) -> FaceSet:
    """Four faces: male 0-2, female 3-9, male 10-19, female 20-29."""
    layouts.fairface(tmp_path, "train", 4)
    return load_part(tmp_path, "FairFace", "train")


AGREE = opinion("gender", "train/1.jpg", 0.9, 0.1)
DOUBT = opinion("gender", "train/2.jpg", 0.4, 0.6)
OTHER = opinion("gender", "train/3.jpg", 0.2, 0.8)
NEXT = opinion("age_group", "train/1.jpg", *ages(1))
FAR = opinion("age_group", "train/2.jpg", *ages(3))
ANOTHER, LACKED = "another {} in the second opinion", "{} was not judged"


@pytest.mark.parametrize(
    ("lines", "options", "files", "reasons"),
    [
        (AGREE + DOUBT + OTHER, {}, "124", {ANOTHER: 1, LACKED: 1}),
        (AGREE + DOUBT + OTHER, {"minimum": 0.7}, "14", {ANOTHER: 2, LACKED: 1}),
        (AGREE + DOUBT + OTHER, {"unjudged": "drop"}, "12", {ANOTHER: 1, LACKED: 1}),
        (AGREE + opinion("emotion", "a.jpg", *[1 / 7] * 7, dataset="FERPlus"), {}, "1234",
         {LACKED: 3}),
        (OTHER, {"tasks": ("gender",)}, "124", {ANOTHER: 1, LACKED: 3}),
    ],
)  # fmt: skip
def test_faces_stay_where_the_second_opinion_agrees(
    fairface: FaceSet, tmp_path: Path, lines: str, options: dict, files: str, reasons: dict
) -> None:
    table = layouts.text(tmp_path / "p.csv", PREDICTIONS, lines)
    shown = kept(fairface, tmp_path, agreement={"predictions": str(table), **options})
    expected = {reason.format("gender"): count for reason, count in reasons.items()}
    assert shown == ({f"train/{n}.jpg" for n in files}, expected)


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ({}, "34"),
        ({"within_one": True}, "134"),
        ({"within_one": True, "minimum": 0.64}, "134"),  # 0.6 and the label's own twentieth
        ({"within_one": True, "minimum": 0.7}, "34"),
    ],
)
def test_the_next_age_group_may_agree(
    fairface: FaceSet, tmp_path: Path, options: dict, files: str
) -> None:
    table = layouts.text(tmp_path / "p.csv", PREDICTIONS, NEXT, FAR)
    left, _ = kept(fairface, tmp_path, agreement={"predictions": str(table), **options})
    assert left == {f"train/{n}.jpg" for n in files}


def test_what_the_opinion_is_not_on_stays_unsaid(fairface: FaceSet, tmp_path: Path) -> None:
    table = layouts.text(
        tmp_path / "p.csv", PREDICTIONS, opinion("gender", "a", 0, 1, dataset="LFW")
    )
    agreement = {"predictions": str(table)}
    assert kept(fairface, tmp_path, agreement=agreement) == (set(fairface.files), {})


@pytest.mark.parametrize(
    ("lines", "options", "error", "message"),
    [
        (None, {}, DatasetError, "there is no .*p.csv"),
        ("dataset,file,p0\n", {}, DatasetError, "p.csv:1: header .* lacks task, true"),
        (PREDICTIONS + "FairFace,gendre,a,0,1\n", {}, DatasetError, "p.csv:2: 5 fields"),
        (PREDICTIONS + opinion("gendre", "a", 1, 0), {}, DatasetError, "csv:2: .* 'gendre'"),
        (PREDICTIONS + opinion("gender", "a", 1), {}, DatasetError, "csv:2: 1 probabilities, but"),
        (PREDICTIONS + opinion("gender", "a", 2, 0), {}, DatasetError, "csv:2: 2, 0 are not prob"),
        (PREDICTIONS + AGREE + AGREE, {}, DatasetError, "csv:3: a second row on gender of train/1"),
        (PREDICTIONS + AGREE, {"datasets": ("LFW",)}, DatasetError, "got LFW, of which"),
        (PREDICTIONS + AGREE, {"tasks": ("emotion",)}, DatasetError, "got emotion, of which"),
        (PREDICTIONS, {"datasets": ("LFV",)}, UnknownNameError, "Did you mean 'LFW'"),
        (PREDICTIONS, {"tasks": ("gendre",)}, UnknownNameError, "Did you mean 'gender'"),
        (PREDICTIONS, {"unjudged": "maybe"}, OptionError, "unjudged: got 'maybe', must be one of"),
        (PREDICTIONS, {"minimum": 2}, OptionError, "minimum: got 2"),
        (PREDICTIONS + OTHER + opinion("gender", "train/1.jpg", 0, 1)
         + opinion("gender", "train/2.jpg", 1, 0) + opinion("gender", "train/4.jpg", 1, 0),
         {}, DatasetError, "leave nothing of FairFace .* 4 -> 0"),
    ],
)  # fmt: skip
def test_a_second_opinion_is_checked_before_it_counts(
    fairface: FaceSet,
    tmp_path: Path,
    lines: str | None,
    options: dict,
    error: type[Exception],
    message: str,
) -> None:
    table = tmp_path / "p.csv"
    if lines is not None:
        layouts.text(table, lines)
    with pytest.raises(error, match=message):
        kept(fairface, tmp_path, agreement={"predictions": str(table), **options})


# People who judge are not learned from.

IDENTITIES = (
    "000001.jpg Zhang_Ziyi\n", "162770.jpg Aaron Éckhart\n", "162771.jpg Nobody_Known\n",
    "999999.jpg Not_In_HQ\n",
)  # fmt: skip


@pytest.fixture
def celebrities(tmp_path: Path) -> FaceSet:
    """CelebA-HQ's four faces to learn from, pictures 0 to 3, beside LFW and VGGFace2."""
    layouts.celeba_hq(tmp_path)
    layouts.lfw(tmp_path)
    layouts.vggface2(tmp_path)
    layouts.text(tmp_path / "names.txt", *IDENTITIES)
    return load_training(tmp_path, "CelebA-HQ")


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("Aaron_Eckhart", "aaron éckhart"),
        ('"Shaquille_O\'Neal"', "Shaquille ONeal"),
        ("Robert_Downey_Jr.", "robert downey jr"),
        ("Jean-Luc Godard", "Jean_Luc_Godard"),
    ],
)
def test_names_are_compared_without_their_dress(name: str, same: str) -> None:
    assert plain_name(name) == plain_name(same)
    assert plain_name(name) != plain_name(f"{same}s")


def test_people_of_an_evaluation_set_are_left_out(celebrities: FaceSet, tmp_path: Path) -> None:
    options = {"identities": str(tmp_path / "names.txt"), "evaluation": ("LFW", "VGGFace2")}
    files, reasons = kept(celebrities, tmp_path, celebrities=options)
    assert files == {"CelebA-HQ-img/2.jpg", "CelebA-HQ-img/3.jpg"}
    assert reasons == {"the person is in LFW": 2, "the person is unknown": 1}
    files, _ = kept(celebrities, tmp_path, celebrities=options | {"evaluation": ("VGGFace2",)})
    assert files == set(celebrities.files)


def test_a_set_that_names_its_people_needs_no_table(tmp_path: Path) -> None:
    layouts.lfw(tmp_path)
    layouts.vggface2(tmp_path, meta=('n000001, "Zhang_Ziyi", 1, 0, f\n', "n000009, Bo, 1, 0, m\n"))
    faces = load_training(tmp_path, "LFW")
    assert faces.people[2:] == ("Zhang_Ziyi", "Zhang_Ziyi")
    files, reasons = kept(faces, tmp_path, celebrities={"evaluation": ("VGGFace2",)})
    assert len(files) == 2
    assert reasons == {"the person is in VGGFace2": 2}


@pytest.mark.parametrize(
    ("line", "options", "error", "message"),
    [
        ("", {"identities": ""}, OptionError, "CelebA-HQ has no names; give a table"),
        ("", {"identities": "no/such.txt"}, DatasetError, "there is no no/such.txt"),
        ("000009.jpg\n", {}, DatasetError, "names.txt:1: '000009.jpg' is not a line like"),
        ("9.jpg Brad_Pitt\n", {}, DatasetError, "names.txt:1: '9.jpg Brad_Pitt' is not"),
        ("000009.jpg 2880\n", {}, DatasetError, "names.txt:1: '2880' is no name.*has numbers"),
        ("000001.jpg A\n000001.jpg B\n", {}, DatasetError, "names.txt:2: 000001.jpg has another"),
        ("", {"evaluation": ("LFV",)}, UnknownNameError, "Did you mean 'LFW'"),
        ("", {"evaluation": ("CelebA-HQ",)}, OptionError, "got CelebA-HQ, which has no names"),
        ("", {"evaluation": ("UTKFace",)}, DatasetError, "there is no folder UTKFace"),
    ],
)
def test_names_are_checked(
    celebrities: FaceSet,
    tmp_path: Path,
    line: str,
    options: dict,
    error: type[Exception],
    message: str,
) -> None:
    table = layouts.text(tmp_path / "names.txt", line)
    settings = {"identities": str(table), "evaluation": ("LFW",)} | options
    with pytest.raises(error, match=message):
        kept(celebrities, tmp_path, celebrities=settings)


# In a run.


def recipe_over(root: Path, **data: object) -> Recipe:
    options = {"root": str(root), "cache": str(root / "cache"), "dev_share": 0.3, **data}
    values = {"data": options, "licence": "none", "tasks": ("gender", "age_group")}
    return Recipe.model_validate(values)


def test_filters_are_for_what_is_learned_from_and_are_kept_in_the_manifest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layouts.fairface(tmp_path, "train", 18)
    lines = [
        opinion("gender", f"train/{n + 1}.jpg", int(n % 4 < 2), int(n % 4 >= 2)) for n in range(18)
    ]
    table = layouts.text(tmp_path / "p.csv", PREDICTIONS, *lines)
    shares = {"FairFace": 1.0}
    plain, dev = open_sources(recipe_over(tmp_path, shares=shares))
    filters = {"agreement": {"predictions": str(table)}}
    chosen = recipe_over(tmp_path, shares=shares, filters=filters)
    with caplog.at_level("INFO"):
        (fit,), (judges,) = open_sources(chosen)
    # Genders take turns, the opinion changes every second face: the first and the last of four.
    expected = [file for file in plain[0].faces.files if int(Path(file).stem) % 4 in (1, 0)]
    assert list(fit.faces.files) == expected
    assert list(judges.faces.files) == list(dev[0].faces.files)
    whole = load_training(tmp_path, "FairFace")
    assert [whole.files[row] for row in fit.rows] == expected
    assert f"FairFace, filter agreement: {len(plain[0])} -> {len(expected)}" in caplog.text
    manifest = manifest_of(chosen, {}, training_counts([fit]), filter_records([fit]))
    (record,) = manifest.recipe["filtered"]["FairFace"]
    assert (record["before"], record["after"]) == (len(plain[0]), len(expected))
    assert record["left_out"] == {
        "another gender in the second opinion": record["before"] - record["after"]
    }
    assert manifest.recipe["data"]["filters"]["agreement"]["predictions"] == "p.csv"
    assert manifest.training_data[0].count == len(expected)


def test_data_sets_without_a_label_of_the_tasks_are_left_out(tmp_path: Path) -> None:
    layouts.fairface(tmp_path, "train", 10)
    layouts.rafdb(tmp_path, 10)
    chosen = recipe_over(tmp_path, shares={"FairFace": 0.5, "RAF-DB": 0.5})
    for tasks, names in ((["emotion"], ["RAF-DB"]), (["gender"], ["FairFace"])):
        sources, dev = open_sources(chosen.model_copy(update={"tasks": tasks}))
        assert [source.faces.name for source in sources] == names
        assert [source.faces.name for source in dev] == names
    alone = recipe_over(tmp_path, shares={"RAF-DB": 1.0}).model_copy(update={"tasks": ["gender"]})
    with pytest.raises(DatasetError, match="no face of RAF-DB has a label of gender: leave it out"):
        open_sources(alone)


def test_filters_are_shown_without_reading_a_picture(
    celebrities: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CONSOLE, "width", 160)
    settings = (
        "tasks=[gender]", "data.shares={CelebA-HQ: 1.0}",
        "data.filters.celebrities.evaluation=[LFW]",
        f"data.filters.celebrities.identities={tmp_path}/names.txt",
    )  # fmt: skip
    words = ["data", "--root", str(tmp_path), "--recipe", "mission/linear-probing"]
    for setting in settings:
        words += ["--set", setting]
    for picture in tmp_path.glob("**/CelebA-HQ-img/*.jpg"):
        picture.write_bytes(b"")
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    row = next(line for line in shown.output.splitlines() if "celebrities" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells[:4] == ["CelebA-HQ", "celebrities", "4", "2"]
    assert cells[4].startswith("2 left out: the person is in LFW, for instance")
    assert "1 kept: the person is unknown" in shown.output


def test_people_follow_their_faces(tmp_path: Path) -> None:
    layouts.vggface2(tmp_path)
    faces = load_part(tmp_path, "VGGFace2", "test")
    assert faces.people == ("14th_Dalai_Lama",) * 2 + ("A_Name,_With_Commas,_Two",) * 2
    assert faces.subset(np.array([3, 0]), "two").people == (faces.people[3], faces.people[0])


def test_a_label_that_nobody_has_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layouts.rafdb(tmp_path, 4)
    chosen = recipe_over(tmp_path, shares={"RAF-DB": 1.0}, split_seed=1).model_copy(
        update={"tasks": ["emotion"]}
    )
    with caplog.at_level("WARNING"):
        open_sources(chosen)
    lacking = ("sadness", "anger", "neutral")
    assert [record.getMessage().split()[6].rstrip(",") for record in caplog.records] == list(
        lacking
    )


def test_a_root_must_be_said() -> None:
    chosen = Recipe.model_validate({"data": {"shares": {"FairFace": 1.0}}})
    with pytest.raises(OptionError, match=r"data.root: got '', .* --set data.root=DIR"):
        open_sources(chosen)
