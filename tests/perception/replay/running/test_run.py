"""``fsb replay``: a sample made, replayed twice, and bags that are no good among good ones."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fsb_perception.cli import app
from fsb_perception.options import OptionError
from fsb_perception.replay.truth.files import read_truth, write_truth
from fsb_perception.replay.truth.statements import Statement
from tests.perception.replay import made_bags
from tests.perception.replay.made_bags import stamps

SECONDS = 0.3


def fsb(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["replay", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    fsb("make-sample", folder, "--seconds", SECONDS)
    return folder


@pytest.fixture(scope="module")
def replayed(sample: Path) -> Path:
    fsb("run", sample / "bag", "--out", sample / "once")
    return sample / "once" / "bag"


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_two_runs_give_the_same_bytes(sample: Path, replayed: Path) -> None:
    fsb("run", sample / "bag", "--out", sample / "twice")
    first, second = ((f / "results.jsonl").read_bytes() for f in (replayed, sample / "twice/bag"))
    assert first == second
    summary = json.loads((replayed / "summary.json").read_text())
    assert summary["results_sha256"] == hashlib.sha256(first).hexdigest()


def test_every_image_is_answered_in_order(replayed: Path) -> None:
    answers = rows(replayed)
    assert len(answers) == 2 * round(SECONDS * 30)
    for camera in ("front", "side"):
        times = [row["stamp"] for row in answers if row["camera"] == camera]
        assert times == sorted(set(times))
    assert all(row["width"] == 640 and row["height"] == 480 for row in answers)
    assert len((replayed / "timing.jsonl").read_text().splitlines()) == len(answers)


def test_the_people_of_the_sample_are_found_where_the_truth_has_them(
    sample: Path, replayed: Path
) -> None:
    faces = {(row["camera"], row["stamp"]): row["faces"] for row in rows(replayed)}
    for statement in read_truth(sample / "truth.jsonl"):
        left, top, right, bottom = statement.box_xyxy
        across, down = (left + right) / 2, (top + bottom) / 2
        boxes = [face["box_xyxy"] for face in faces[statement.camera, statement.stamp]]
        assert any(b[0] < across < b[2] and b[1] < down < b[3] for b in boxes)


def test_face_ids_tell_the_cameras_apart(replayed: Path) -> None:
    for row in rows(replayed):
        for face in row["faces"]:
            assert face["face_id"].startswith(f"face_{row['camera']}_")


def test_the_summary_names_all_that_the_answers_depend_on(sample: Path, replayed: Path) -> None:
    summary = json.loads((replayed / "summary.json").read_text())
    assert summary["bundle"].startswith("nano@")
    assert summary["frames"] == sum(summary["cameras"].values()) == len(rows(replayed))
    assert (
        len(summary["bag"]["sha256"])
        == len(summary["config_sha256"])
        == len(summary["code"]["sha256"])
    )
    assert str(sample) not in json.dumps(summary)
    fsb("run", sample / "bag", "--out", sample / "other", "--set", "tracker.max_coast=0.5")
    other = json.loads((sample / "other/bag/summary.json").read_text())
    assert other["bag"] == summary["bag"]
    assert other["config_sha256"] != summary["config_sha256"]


def test_a_bag_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    good = made_bags.write(tmp_path / "good", {"/front/image": stamps(3)})
    command = ["replay", "run", str(tmp_path / "absent"), str(good), "--out", str(tmp_path / "o")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "there is no such bag" in result.output
    assert (tmp_path / "o/good/summary.json").is_file()
    assert not (tmp_path / "o/absent").exists()


@pytest.mark.parametrize(
    ("times", "kind"),
    [
        pytest.param([0, 0, 0], "image without a stamp", id="zero stamps"),
        pytest.param([*stamps(4)[2:], *stamps(2)], "stamp goes back", id="time goes backwards"),
        pytest.param([*stamps(2), stamps(2)[1]], "stamp is repeated", id="twice the same"),
    ],
)
def test_stamps_that_no_camera_should_give_are_reported(
    times: list[int], kind: str, tmp_path: Path
) -> None:
    bag = made_bags.write(tmp_path / "bag", {"/front/image": times})
    output = fsb("run", bag, "--out", tmp_path / "o")
    summary = json.loads((tmp_path / "o/bag/summary.json").read_text())
    assert summary["problems"][kind]["count"] >= 1
    assert kind in output
    assert [row["stamp"] for row in rows(tmp_path / "o/bag")] == times


def test_an_image_that_cannot_be_decoded_is_answered_with_its_error(tmp_path: Path) -> None:
    bag = made_bags.write(tmp_path / "bag", {"/front/image": stamps(3)}, storage="sqlite3")
    path = made_bags.file_of(bag)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\xff\xd8\xff\xe0", b"\x00\x00\x00\x00", 1))
    fsb("run", bag, "--out", tmp_path / "o")
    answers = rows(tmp_path / "o/bag")
    assert ["error" in row for row in answers] == [
        False,
        False,
        True,
    ]  # the file begins with the last
    summary = json.loads((tmp_path / "o/bag/summary.json").read_text())
    assert (summary["frames"], summary["failed"]) == (3, 1)
    assert "image that cannot be decoded" in summary["problems"]


def test_with_the_truth_the_summary_says_how_good_it_is(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "met.yaml").write_text("- detection.recall >= 0.99\n- tracking.id_switches <= 0\n")
    command = ["run", sample / "bag", "--out", tmp_path, "--truth", sample / "truth.jsonl"]
    output = fsb(*command, "--criteria", tmp_path / "met.yaml")
    assert "IDF1 1.000" in output
    metrics = json.loads((tmp_path / "bag/summary.json").read_text())["metrics"]
    assert metrics["detection"]["precision"] == 1
    assert metrics["gender"]["tracks"] >= 4
    assert "emotion" not in metrics  # unknown
    (tmp_path / "unmet.yaml").write_text("- gender.ece < 0\n")
    unmet = ["replay", *map(str, command), "--criteria", str(tmp_path / "unmet.yaml")]
    result = CliRunner().invoke(app, unmet)
    assert result.exit_code == 1
    assert "Not met: gender.ece < 0" in result.output


def test_a_criterion_on_what_one_bag_lacks_does_not_stop_the_others(
    sample: Path, tmp_path: Path
) -> None:
    other = made_bags.write(tmp_path / "other", {"/front/image": stamps(2)})
    (tmp_path / "c.yaml").write_text("- detection.recall >= 0.9\n")
    command = ["replay", "run", str(other), str(sample / "bag"), "--out", str(tmp_path / "o")]
    more = ["--truth", str(sample / "truth.jsonl"), "--criteria", str(tmp_path / "c.yaml")]
    result = CliRunner().invoke(app, [*command, *more])
    assert result.exit_code == 1
    assert "unknown metric 'detection.recall'" in result.output
    assert "IDF1 1.000" in result.output


def test_criteria_need_the_truth(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("- gender.ece < 0\n")
    command = ["replay", "run", str(sample / "bag"), "--criteria", str(tmp_path / "c.yaml")]
    with pytest.raises(OptionError, match="--truth"):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_several_processes_give_the_results_of_one(sample: Path, tmp_path: Path) -> None:
    other = made_bags.write(tmp_path / "other", {"/front/image": stamps(5)})
    bags = [sample / "bag", other, tmp_path / "absent"]
    hashes = []
    for jobs in (1, 2):
        out = tmp_path / str(jobs)
        command = ["replay", "run", *map(str, bags), "--out", str(out), "--jobs", str(jobs)]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1
        assert "there is no such bag" in result.output
        hashes.append([(out / name / "results.jsonl").read_bytes() for name in ("bag", "other")])
    assert hashes[0] == hashes[1]


def test_started_again_it_keeps_answers_and_judges_anew(sample: Path, tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    shutil.copytree(sample / "bag", bag)
    out = tmp_path / "o" / "bag"
    command = ["run", bag, "--out", out.parent]
    fsb(*command)
    written = (out / "results.jsonl").stat().st_mtime_ns
    output = fsb(*command, "--truth", sample / "truth.jsonl")
    assert "the answers are kept" in output
    assert (out / "results.jsonl").stat().st_mtime_ns == written
    assert "metrics" in json.loads((out / "summary.json").read_text())
    assert "the answers are kept" not in fsb(*command, "--set", "tracker.max_coast=0.5")
    (out / "results.jsonl").write_bytes(b"")
    assert "the answers are kept" not in fsb(*command, "--set", "tracker.max_coast=0.5")


def test_a_replay_that_says_nothing_fails_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made_bags, "JPEG", b"\0\0\0\1\x67" + bytes(99))  # the start of H.264
    video = made_bags.write(tmp_path / "video", {"/cam/image/compressed": stamps(3)})
    monkeypatch.undo()
    empty = made_bags.write(tmp_path / "empty", {"/cam/image/compressed": []})
    good = made_bags.write(tmp_path / "good", {"/cam/image/compressed": stamps(3)})
    truth = tmp_path / "truth.jsonl"
    labels = {"gender": "female"}
    write_truth(truth, 2 * [Statement(camera="front", stamp=5, identity="ada", attributes=labels)])
    words = ["run", video, empty, good, "--out", tmp_path / "out", "--truth", truth]
    result = CliRunner().invoke(app, ["replay", *map(str, words)])
    assert result.exit_code == 1
    failures = [line for line in result.output.splitlines() if line.startswith("Failed:")]
    assert len(failures) == 3
    for line, text in zip(
        failures,
        ("video: none of 3 images was answered", "empty: no image", "its cameras are front"),
        strict=True,
    ):
        assert text in line
    assert json.loads((tmp_path / "out/good/summary.json").read_text())["truth_images"] == 0
