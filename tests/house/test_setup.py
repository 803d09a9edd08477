"""The set-up: what it names, when it runs, what it recovers from."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.paths import ROOT


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A copy of all that the set-up reads, with an environment that looks finished."""
    for pattern in (
        "requirements/*.txt",
        "scripts/*.py",
        "msg/*.msg",
        "fsb_perception/__init__.py",
    ):
        for path in ROOT.glob(pattern):
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    for name in ("pyproject.toml", "package.xml", "CMakeLists.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    return tmp_path


@pytest.fixture
def setup(tree, monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(tree / "scripts"))
    for name in ("setup", "needs", "locked"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import setup

    yield setup
    for name in ("setup", "needs", "locked"):
        sys.modules.pop(name, None)


def finish(setup: ModuleType) -> None:
    setup.IDENTITY.write_text(setup.identity())
    setup.STAMP.write_text(setup.digest())


def test_finished_environment_is_left_alone(setup):
    assert not setup.ready()
    finish(setup)
    assert setup.ready()
    assert setup.main() == 0


@pytest.mark.parametrize(
    "name",
    ["requirements/core.txt", "requirements/lock.txt", "msg/BundleInfo.msg", "CMakeLists.txt"],
)
def test_changed_input_makes_it_run_again(setup, tree, name):
    finish(setup)
    (tree / name).write_text((tree / name).read_text() + "\n# changed\n")
    assert not setup.ready()


def test_another_place_or_another_ros_makes_it_run_again(setup, tree, monkeypatch):
    finish(setup)
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/opt/ros/jazzy")
    assert not setup.ready()
    monkeypatch.delenv("ROS_DISTRO")
    monkeypatch.setattr(setup, "ROOT", tree / "moved")
    assert not setup.ready()


def test_lost_interpreter_makes_it_run_again(setup):
    finish(setup)
    setup.PYTHON.unlink()
    assert not setup.ready()


def test_failed_step_leaves_no_stamp_and_says_what_failed(setup, monkeypatch, capsys):
    finish(setup)
    setup.STAMP.write_text("of older inputs")
    monkeypatch.setattr(setup.needs, "missing", lambda folder: [])
    monkeypatch.setattr(setup, "install_packages", lambda: setup.run("false"))
    assert setup.main() == 1
    assert not setup.STAMP.exists()
    assert "status 1" in capsys.readouterr().err


def test_interrupted_environment_is_made_anew_and_a_whole_one_is_kept(setup, monkeypatch):
    made = []
    monkeypatch.setattr(setup, "run", lambda *words: made.append(words))
    setup.create_environment()  # the interpreter is there, the mark of a whole environment is not
    setup.create_environment()
    assert len(made) == 1
    assert "--clear" in made[0]


def test_torn_packages_are_dropped(setup):
    folder = setup.VENV / "lib" / "python3.11" / "site-packages"
    for name in ("whole-1.dist-info", "torn-1.dist-info", "~emoved", "module"):
        (folder / name).mkdir(parents=True)
    (folder / "whole-1.dist-info" / "RECORD").touch()
    setup.drop_torn_packages()
    assert sorted(path.name for path in folder.iterdir()) == ["module", "whole-1.dist-info"]


def test_two_at_once_wait_for_each_other(setup, tree):
    code = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    path = tree / "lock"
    with path.open("w") as lock:
        setup.wait_for(lock)
        other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=False)
        assert b"BlockingIOError" in other.stderr
        fcntl.flock(lock, fcntl.LOCK_UN)
        setup.wait_for(lock)


def test_old_python_is_told_what_to_do(setup, monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    assert setup.main() == 1
    said = capsys.readouterr().err
    assert "3.9" in said
    assert "make PYTHON=" in said


def test_everything_missing_is_named_at_once(setup, tree, monkeypatch):
    needs = setup.needs
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(needs, "_loads", lambda library: False)
    monkeypatch.setattr(needs.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(needs.sysconfig, "get_path", lambda name: "/nowhere")
    text = needs.report(needs.missing(tree))
    python = "python{}.{}".format(*sys.version_info)
    (command,) = (line for line in text.splitlines() if "apt-get install" in line)
    wanted = {"cmake", "g++", "libgl1", "libglib2.0-0", "make", f"{python}-dev", f"{python}-venv"}
    assert set(command.split(" -y ")[1].split()) == wanted


@pytest.mark.parametrize(
    ("machine", "libc", "fits"),
    [
        ("x86_64", ("glibc", "2.36"), True),
        ("x86_64", ("glibc", "2.27"), False),
        ("x86_64", ("", ""), False),
        ("aarch64", ("glibc", "2.36"), False),
    ],
)
def test_platform_without_wheels_is_told_to_install_ros(setup, monkeypatch, machine, libc, fits):
    needs = setup.needs
    monkeypatch.setattr(needs.platform, "machine", lambda: machine)
    monkeypatch.setattr(needs.platform, "libc_ver", lambda: libc)
    found = needs._wheels()
    assert (not found) == fits
    assert all("source /opt/ros" in need.mend for need in found)


def test_sourced_ros_is_asked_for_its_packages(setup, tree, monkeypatch):
    needs = setup.needs
    present = tree / "ros" / "share" / "sensor_msgs" / "package.xml"
    present.parent.mkdir(parents=True)
    present.touch()
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tree / "ros"))
    packages = {need.package for need in needs._sourced_ros()}
    assert "ros-jazzy-rosidl-default-generators" in packages
    assert "ros-jazzy-sensor-msgs" not in packages


@pytest.mark.parametrize(("free_mib", "enough"), [(16, False), (64, True)])
def test_little_shared_memory_is_named_with_its_mend(setup, monkeypatch, free_mib, enough):
    usage = shutil.disk_usage("/")._replace(free=free_mib << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    found = setup.needs.shared_memory()
    assert (not found) == enough
    assert all(f"{free_mib} MiB" in need.what and "--shm-size" in need.mend for need in found)


VERBS = {"demo", "test", "lint", "train", "bench"}


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_sets_up_first(verb):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    run = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", verb],
        cwd=ROOT,
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, *_ = run.stdout.splitlines()
    assert first.endswith("scripts/setup.py")
    program, *rest = second.split()
    assert (ROOT / program).exists() or Path(sys.prefix, "bin", Path(program).name).exists()
    assert all((ROOT / word).exists() for word in rest if word.endswith((".py", ".yaml")))


def test_ci_calls_the_tests():
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    assert "make test" in run.read_text(encoding="utf-8")
