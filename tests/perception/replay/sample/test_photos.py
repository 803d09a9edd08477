"""Samples from one's own photographs: the shipped ones serve as the user's."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trackers.eval import box_iou
from typer.testing import CliRunner

from fsb_perception import samples
from fsb_perception.cli import app
from fsb_perception.detection import build_detector
from fsb_perception.detection.base import DetectorConfig
from fsb_perception.errors import FsbError
from fsb_perception.problems import lines
from fsb_perception.replay.sample.people import clip_of, shipped_people
from fsb_perception.replay.sample.photos import MOST_PHOTOS, portrait_of, read_people
from fsb_perception.replay.truth.files import read_truth
from fsb_perception.samples.clip import FPS, Clip
from fsb_perception.samples.roles import MOST, cast

SHIPPED = Path(samples.__file__).parent
NOISE = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)


def photos(folder: Path, *names: str, labels: str = "") -> Path:
    """Fill a folder with copies of hopper.jpg, or of the shipped photograph of that name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shipped = SHIPPED / path.name
        shutil.copy(shipped if shipped.is_file() else SHIPPED / "hopper.jpg", path)
    if labels:
        (folder / "labels.csv").write_text(labels)
    return folder


def test_without_photographs_the_sample_is_the_demo_clip() -> None:
    ours, demo = clip_of(shipped_people()), Clip("demo")
    for index in (0, 170, 299):
        np.testing.assert_array_equal(ours.frame(index), demo.frame(index))
        assert ours.faces(index) == demo.faces(index)


@pytest.mark.parametrize(
    ("files", "people"),
    [
        (["ada.jpg"], {"ada": 1}),
        (["ada/1.jpg", "ada/2.JPG", "bob.jpg"], {"ada": 2, "bob": 1}),
        (["x.jpg", "x.png"], {"x.jpg": 1, "x.png": 1}),  # one person a file
        ([f"ada/{n}.jpg" for n in range(MOST_PHOTOS + 2)], {"ada": MOST_PHOTOS}),
        ([f"{n}.jpg" for n in range(MOST + 2)], {str(n): 1 for n in range(MOST)}),
    ],
)
def test_a_folder_or_a_file_is_a_person(files: list, people: dict, tmp_path: Path) -> None:
    read, problems = read_people(photos(tmp_path, *files))
    assert {person.name: len(person.portraits) for person in read} == people
    left = len(files) - sum(people.values())
    assert problems.total() == left


def test_labels_are_of_files_and_of_people(tmp_path: Path) -> None:
    table = (
        "\ufefffile,identity,gender,age_group,emotion\n"
        "ada/1.jpg,,,,neutral\nada/2.jpg,,,, happiness \n,ada,female,,\nx.jpg,bob,male,70+,\n\n"
    )
    folder = photos(tmp_path, "ada/1.jpg", "ada/2.jpg", "ada/3.jpg", "x.jpg", labels=table)
    ada, bob = read_people(folder)[0]
    assert ada.attributes == (
        {"gender": "female", "emotion": "neutral"},
        {"gender": "female", "emotion": "happiness"},
        {"gender": "female"},
    )
    assert (bob.name, bob.attributes) == ("bob", ({"gender": "male", "age_group": "70+"},))
    assert ada.attributes_in((0, 1)) == {"gender": "female"}


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (
            "file,mood\na.jpg,good\n",
            "unknown column 'mood'.* Known: age_group, emotion, file, gender, identity",
        ),
        ("file,gender\na.jpg,f\n", r"labels\.csv:2: unknown gender 'f'"),
        ("file,gender\nb.jpg,male\n", r"labels\.csv:2: there is no file b\.jpg"),
        ("file,gender\na.jpg,male\na.jpg,male\n", r":3: a\.jpg has a line already"),
        ("identity,gender\nbob,male\n", "unknown person 'bob'.* Known: a, c"),
        ("gender\nmale\n", ":2: it names neither a file nor an identity"),
        ("file,gender\na.jpg,male,x\n", ":2: 3 fields, but the header has 2"),
        ("file,gender\nc/1.jpg,male\nc/2.jpg,female\n", "c has more than one gender: female, male"),
    ],
)
def test_labels_that_cannot_be_are_named(labels: str, why: str, tmp_path: Path) -> None:
    folder = photos(tmp_path, "a.jpg", "c/1.jpg", "c/2.jpg", labels=labels)
    with pytest.raises(FsbError, match=why):
        read_people(folder)


def test_photographs_of_no_use_are_counted(tmp_path: Path) -> None:
    folder = photos(tmp_path, "ada/1.jpg")
    cv2.imwrite(str(folder / "ada" / "wall.png"), NOISE)
    (folder / "text.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("nor this")
    (ada,), problems = read_people(folder)
    assert len(ada.portraits) == 1
    assert sorted(lines(problems.as_json())) == [
        f"photographs that cannot be read: 1, first {folder / 'text.jpg'}: it is damaged, or "
        "not a still picture (read here: jpeg png webp avif bmp gif jp2 pnm sun tiff)",
        "photographs without a face: 1, first ada/wall.png",
    ]


def test_a_folder_without_anybody_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FsbError, match="no such folder"):
        read_people(tmp_path / "absent")
    with pytest.raises(FsbError, match="no photograph in it"):
        read_people(tmp_path)
    cv2.imwrite(str(tmp_path / "wall.png"), NOISE)
    with pytest.raises(FsbError, match=r"in none of its .*a face: 1, first wall\.png"):
        read_people(tmp_path)


@pytest.mark.parametrize(
    ("names", "seconds"),
    [
        (["coelho.jpg", "collins.jpg", "hopper.jpg"], (0.0, 3.0, 12.0, 19.0)),
        (
            [f"{n}/{name}.jpg" for n in "ab" for name in ("coelho", "collins", "hopper")],
            (1.0, 11.0),
        ),
        ([f"{n}.jpg" for n in range(MOST)], (0.0, 13.0)),
    ],
    ids=["files", "folders", "crowd"],
)
def test_faces_are_found_where_the_truth_has_them(names: list, seconds, tmp_path: Path) -> None:
    people, _ = read_people(photos(tmp_path, *names))
    clip, detector = clip_of(people), build_detector(DetectorConfig())
    for second in seconds:
        faces = detector.detect(clip.frame(round(second * FPS)))
        true = np.array([face.box_xyxy for face in clip.faces(round(second * FPS))])
        overlaps = box_iou(true, np.array([face.box_xyxy for face in faces], float))
        assert overlaps.shape == (len(people), len(people))
        assert overlaps.max(1).min() > 0.6


def test_one_photograph_becomes_the_next(tmp_path: Path) -> None:
    (ada,), _ = read_people(photos(tmp_path, "ada/coelho.jpg", "ada/collins.jpg"))
    clip = clip_of([ada])
    seen = [clip.faces(index)[0].portraits for index in range(clip.count)]
    order = [one for one, former in zip(seen, [None, *seen], strict=False) if one != former]
    assert order == [(0,), (0, 1), (1,), (1, 0)] * 2
    assert 4 <= seen.count((0, 1)) / 2 <= 8  # frames
    for start in (seen.index((0, 1)), clip.count - 6):  # the last turn ends the clip
        shown = [clip.frame(index).astype(int) for index in range(start - 1, start + 7)]
        steps = [np.abs(b - a).mean() for a, b in itertools.pairwise(shown)]
        assert max(steps) < np.abs(shown[-1] - shown[0]).mean() / 3


def test_a_picture_of_nothing_but_a_face_will_do() -> None:
    image = cv2.imread(str(SHIPPED / "hopper.jpg"))
    x, y, width, height = 50, 102, 148, 186
    portrait = portrait_of(image[y : y + height, x : x + width], build_detector(DetectorConfig()))
    assert portrait is not None
    assert portrait.face_xywh[2] == pytest.approx(150, rel=0.01)


@given(st.integers(1, MOST))
def test_everybody_has_a_part(count: int) -> None:
    names = [f"p{n}" for n in range(count)]
    assert [actor.still for actor in cast(names).actors] == names


@pytest.mark.parametrize("count", [0, MOST + 1])
def test_there_are_so_many_parts(count: int) -> None:
    with pytest.raises(ValueError, match=f"1 to {MOST} people, got {count}"):
        cast([str(n) for n in range(count)])


def test_a_sample_is_made_and_judged(tmp_path: Path) -> None:
    table = "file,gender,emotion\nada/1.jpg,female,happiness\nada/collins.jpg,female,neutral\n"
    faces = photos(tmp_path / "faces", "ada/1.jpg", "ada/collins.jpg", "bob.jpg", labels=table)
    (faces / "none.jpg").write_bytes(b"")
    output = fsb("make-sample", tmp_path / "s", "--faces", faces, "--seconds", 0.3)
    assert "photographs that cannot be read: 1" in output
    statements = read_truth(tmp_path / "s" / "truth.jsonl")
    assert {s.identity for s in statements} == {"ada", "bob"}
    assert {s.attributes.get("gender") for s in statements} == {"female", None}
    assert {s.attributes.get("emotion") for s in statements} == {"happiness", "neutral", None}
    truth = ("--truth", tmp_path / "s" / "truth.jsonl", "--out", tmp_path / "o")
    fsb("run", tmp_path / "s" / "bag", *truth)
    metrics = json.loads((tmp_path / "o/bag/summary.json").read_text())["metrics"]
    assert metrics["detection"]["recall"] == metrics["detection"]["precision"] == 1.0


def fsb(*words: object) -> str:
    result = CliRunner().invoke(app, ["replay", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.output
