from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from fsb_perception import cli
from fsb_perception.bundles.manifest import MANIFEST, WEIGHTS, BundleError
from fsb_perception.images.files import read_picture
from fsb_perception.tasks import TASKS
from tests.builders import frame
from tests.bundles import random_bundle

ASTRONAUT = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_bundle(
        tmp_path_factory.mktemp("bundle"),
        metrics={"FairFace:val": {"gender": {"accuracy": 0.875, "count": 1234}}},
        training_data=[{"name": "FairFace", "count": 36000, "licence": "CC BY 4.0"}],
    ).folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    cv2.imwrite("photo.jpg", ASTRONAUT)
    return tmp_path


def fsb(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of ``fsb`` with these arguments."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), out, err


def test_a_face_is_named_drawn_and_written(
    capfd: pytest.CaptureFixture[str], bundle: Path, folder: Path
) -> None:
    before = (folder / "photo.jpg").read_bytes()
    status, out, _ = fsb(capfd, "image", "photo.jpg", "--bundle", bundle, "--json", "sub/all.json")
    assert status == 0
    for word in ("photo.jpg", "face_1", "gender", "age group", "emotion", "photo_fsb.jpg"):
        assert word in out
    assert (folder / "photo.jpg").read_bytes() == before
    assert (read_picture(folder / "photo_fsb.jpg") != ASTRONAUT).any()
    (picture,) = json.loads((folder / "sub/all.json").read_text())
    assert (picture["width"], picture["height"]) == (512, 512)
    (face,) = picture["faces"]
    left, top, right, bottom = face["box_xyxy"]
    assert left < 222 < right, "her nose"
    assert top < 128 < bottom, "her nose"
    assert face["quality_flags"] == []
    for task, row in TASKS.items():
        estimate = face["estimates"][task]
        assert list(estimate["probabilities"]) == list(row.labels)
        assert math.fsum(estimate["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)
        assert estimate["confidence"] == max(estimate["probabilities"].values())
        assert (estimate["value"] is None) == (not row.edges)


def test_an_unreadable_picture_is_named_and_the_rest_goes_on(
    capfd: pytest.CaptureFixture[str], bundle: Path, folder: Path
) -> None:
    (folder / "empty.png").touch()
    cv2.imwrite("wall.png", frame(64, 48, level=100))
    status, out, _ = fsb(
        capfd, "image", "empty.png", "photo.jpg", "wall.png", "no.jpg", "--bundle", bundle
    )
    assert status == 1
    assert "Failed: empty.png: it is empty" in out
    assert "Failed: no.jpg: there is no such file" in out
    assert "face_1" in out
    assert "none" in out
    assert sorted(p.name for p in folder.glob("*_fsb.jpg")) == ["photo_fsb.jpg", "wall_fsb.jpg"]


@pytest.mark.parametrize(
    ("photo", "out", "reason"),
    [
        (os.fsdecode(b"caf\xe9.jpg"), ".", r"caf\xe9.jpg: the name is not UTF-8; rename the file"),
        ("x" * 300, ".", "File name too long; choose a shorter name"),
        ("photo.jpg", "/sys/fsb", "/sys/fsb: Operation not permitted; name a path"),
        ("photo.jpg", "photo.jpg", "photo.jpg: File exists"),
    ],
    ids=["not UTF-8", "name too long", "read-only folder", "no folder"],
)
def test_a_refusal_of_the_file_system_is_one_line_and_the_rest_goes_on(
    capfd: pytest.CaptureFixture[str], bundle: Path, folder: Path, photo: str, out: str, reason: str
) -> None:
    with contextlib.suppress(OSError):
        shutil.copy("photo.jpg", photo)
    status, printed, err = fsb(
        capfd, "image", photo, "--bundle", bundle, "--out", out, "--json", "all.json"
    )
    assert (status, err) == (1, "")
    (line,) = [line for line in printed.splitlines() if line.startswith("Failed: ")]
    assert reason in line
    (result,) = json.loads((folder / "all.json").read_text())
    assert reason in result["error"]
    if out != ".":  # the faces are reported, whatever the disk does
        assert "face_1" in printed
        assert len(result["faces"]) == 1


def test_every_suffix_is_read_and_the_rest_of_a_folder_is_counted(
    capfd: pytest.CaptureFixture[str], bundle: Path, folder: Path
) -> None:
    inside = folder / "in"
    inside.mkdir()
    for suffix in (".jfif", ".jpe", ".JPG"):
        shutil.copy("photo.jpg", inside / f"a{suffix}")
    for suffix in (".gif", ".jp2", ".avif", ".bmp", ".tiff"):
        cv2.imwrite(str(inside / f"a{suffix}"), cv2.resize(ASTRONAUT, (256, 256)))
    for name in ("._a.jpg", "b.heic", "c.heic", "notes.txt", "a_fsb.jpg"):
        (inside / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    (inside / "deeper").mkdir()
    status, out, _ = fsb(capfd, "image", "in", "--bundle", bundle, "--out", "out")
    assert status == 0
    assert len(list((folder / "out").glob("a_fsb*.jpg"))) == 8
    for note in (
        "2 left out: HEIC picture, which is not read: save it as JPEG, for instance in/b.heic",
        "1 left out: file of macOS beside a picture, for instance in/._a.jpg",
        "1 left out: picture that FSB has annotated (*_fsb.jpg), for instance in/a_fsb.jpg",
        "1 left out: file that is no picture by its name, for instance in/notes.txt",
        "1 left out: folder in a folder, for instance in/deeper",
    ):
        assert f"Note: {note}" in out
    status, out, _ = fsb(capfd, "image", "in/b.heic", "--bundle", bundle)
    assert (status, "it is a HEIC picture" in out) == (1, True)


def test_limits_that_are_reached_are_named(
    capfd: pytest.CaptureFixture[str], bundle: Path, folder: Path
) -> None:
    cv2.imwrite("two.png", np.hstack([ASTRONAUT, ASTRONAUT]))
    command = ("image", "two.png", "photo.jpg", "--bundle", bundle)
    _, out, _ = fsb(capfd, *command)
    assert "Note" not in out
    limits = ("--set", "detector.max_faces=2", "--set", "detector.max_side=1000")
    _, out, _ = fsb(capfd, *command, *limits)
    assert "Note: 1 with as many faces as detector.max_faces allows (2)" in out
    assert "for instance two.png; --set detector.max_faces=4 finds more" in out
    assert "Note: 1 searched for faces in a copy shrunk to 1000 px (detector.max_side)" in out


def test_a_close_up_is_seen_at_every_size(
    capfd: pytest.CaptureFixture[str], bundle: Path, folder: Path
) -> None:
    near = ASTRONAUT[60:190, 165:275]
    for width in (300, 1200):
        cv2.imwrite(f"close_{width}.png", cv2.resize(near, (width, width * 13 // 11)))
    _, out, _ = fsb(capfd, "image", "close_300.png", "close_1200.png", "--bundle", bundle)
    assert out.count("face_1") == 2


def test_a_json_name_that_is_not_utf_8_leaves_the_earlier_file(
    capfd: pytest.CaptureFixture[str], bundle: Path, folder: Path
) -> None:
    (folder / "all.json").write_text("[]")
    name = os.fsdecode(b"caf\xe9.jpg")
    shutil.copy("photo.jpg", name)
    status, _, err = fsb(capfd, "image", ".", "--bundle", bundle, "--json", "all.json")
    assert (status, err) == (1, "")
    results = {row["file"]: row for row in json.loads((folder / "all.json").read_text())}
    assert set(results) == {"photo.jpg", r"caf\xe9.jpg"}
    assert "not UTF-8" in results[r"caf\xe9.jpg"]["error"]


def test_a_folder_may_be_given_twice_and_no_source_is_overwritten(
    capfd: pytest.CaptureFixture[str], bundle: Path, folder: Path
) -> None:
    other = folder / "other"
    other.mkdir()
    shutil.copy("photo.jpg", other / "photo.jpg")
    small = np.asarray(cv2.resize(ASTRONAUT, (128, 128)), np.uint8)
    cv2.imwrite("photo_fsb.jpg", small)
    source = (folder / "photo_fsb.jpg").read_bytes()
    for _ in range(2):
        status, *_ = fsb(capfd, "image", "photo_fsb.jpg", "photo.jpg", other, "--bundle", bundle)
        assert status == 0
    assert (folder / "photo_fsb.jpg").read_bytes() == source
    assert sorted(p.name for p in folder.glob("*.jpg")) == [
        "photo.jpg", "photo_fsb.jpg", "photo_fsb_2.jpg", "photo_fsb_3.jpg", "photo_fsb_fsb.jpg"
    ]  # fmt: skip


def test_out_names_the_folder_and_set_any_option(
    capfd: pytest.CaptureFixture[str], bundle: Path, folder: Path
) -> None:
    status, out, _ = fsb(
        capfd, "image", "photo.jpg", "--bundle", bundle, "--out", "seen/here",
        "--set", "quality.min_size=500", "--set", "tasks=[emotion]",
    )  # fmt: skip
    assert status == 0
    assert "SMALL" in out
    assert "gender" not in out
    assert (folder / "seen/here/photo_fsb.jpg").is_file()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--bundle", "nanno"], "nanno"),
        (["--set", "fusion.emotion.enter=7"], "fusion.emotion.enter: got 7"),
        (["--set", "tracker.max_cost=7"], "Did you mean 'tracker.max_coast'"),
        (["--set", "nonsense"], "NAME=VALUE"),
        (["--device", "tpu"], "got 'tpu', must be one of auto, cuda, cpu"),
        (["--set", "detector.name=yunett"], "Did you mean 'yunet'"),
        (["--set", "tasks=[gendre]"], "Did you mean 'gender'"),
        (["--json", "photo.jpg/all.json"], "photo.jpg: File exists"),
        (["--json", "/dev/full"], "cannot write /dev/full: No space left on device; make room"),
        (["--json", "/sys/all.json"], "cannot write /sys/all.json: Permission denied; name a path"),
        (["--json", "x" * 300], "File name too long; choose a shorter name"),
        (["--json", "."], "cannot write .: Is a directory; name a file"),
        (["--json", "photo.jpg"], "--json photo.jpg: this is one of the pictures; name another"),
        (["--set", "decoding.formats=[png]", "--json", "/dev/full"], "cannot write /dev/full"),
    ],
)
def test_an_error_is_one_line_with_the_remedy(
    capfd: pytest.CaptureFixture[str], bundle: Path, arguments: list[str], text: str
) -> None:
    given = [] if "--bundle" in arguments else ["--bundle", str(bundle)]
    status, _, err = fsb(capfd, "image", "photo.jpg", *given, *arguments)
    assert status == 2
    assert text in err
    assert err.startswith("fsb: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_debug_shows_the_traceback(bundle: Path) -> None:
    with pytest.raises(BundleError, match="nanno"):
        cli.main(["--debug", "bundle", "show", "nanno"])


def test_every_metric_fits_eighty_characters(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (
        "accuracy", "balanced_accuracy", "macro_f1", "within_one_accuracy", "mae_years", "ece",
    )  # fmt: skip
    row = {name: 0.1 * number + 0.012 for number, name in enumerate(names)} | {"count": 12345}
    bundle = random_bundle(tmp_path / "full", metrics={"FairFace:dev": {"age_group": row}})
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = fsb(capfd, "bundle", "show", str(bundle.folder))
    assert status == 0
    assert "FairFace:dev age_group" in out
    assert all(f"{row[name]:.3f}" in out for name in names)
    assert "12,345" in out


def test_show_describes_a_bundle(capfd: pytest.CaptureFixture[str], bundle: Path) -> None:
    status, out, _ = fsb(capfd, "bundle", "show", bundle)
    assert status == 0
    for word in ("random@", "MB", "nano-vit-80", "gender", "age_group", "emotion", "male, female",
                 "36,000", "CC BY 4.0", "0.875", "1,234", "Intended use", "Limits"):  # fmt: skip
        assert word in out
    status, out, _ = fsb(capfd, "bundle", "show", bundle, "--json")
    expected = json.loads((bundle / MANIFEST).read_text())
    del expected["manifest_sha256"]  # of the file's bytes, which --json does not print
    assert json.loads(out) == expected


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "status", "text"),
    [
        (lambda folder: None, 0, "is whole"),
        (lambda folder: _flip(folder / WEIGHTS), 1, "expected"),
        (lambda folder: (folder / WEIGHTS).unlink(), 1, "is missing"),
    ],
    ids=["whole", "changed", "missing"],
)
def test_verify_names_the_file_that_differs(
    capfd: pytest.CaptureFixture[str],
    bundle: Path,
    folder: Path,
    harm: object,
    status: int,
    text: str,
) -> None:
    copy = shutil.copytree(bundle, folder / "copy")
    harm(copy)  # type: ignore[operator]
    ended, out, _ = fsb(capfd, "bundle", "verify", copy)
    assert ended == status
    assert text in out
    assert WEIGHTS in out


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["--version"], 0, "fsb 0."),
        (["image"], 2, "PHOTO"),
        (["imge"], 2, "Did you mean 'image'"),
        (["image", "--help"], 0, "NAME=VALUE"),
        (["bundle", "--help"], 0, "verify"),
    ],
)
def test_usage(
    capfd: pytest.CaptureFixture[str], arguments: list[str], status: int, text: str
) -> None:
    ended, out, err = fsb(capfd, *arguments)
    assert ended == status
    assert text in out + err


def test_help_names_every_command_and_imports_none() -> None:
    code = (
        "import sys\n"
        "from fsb_perception.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'cv2', 'numpy', 'pydantic', 'rclpy', 'supervision'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout
    for row in cli.COMMANDS:
        assert row.name in done.stdout
