"""The environment of node processes: variables that are set or kept, and the note to the user."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fsb_perception.ros import environment

MIB = 1 << 20


def package_in(prefix: Path) -> str:
    share = prefix / "share" / "fsb_perception"
    share.mkdir(parents=True)
    (share / "package.xml").touch()
    return str(prefix)


def test_a_clean_shell_gets_the_prefix_of_this_python(tmp_path: Path) -> None:
    prefix = package_in(tmp_path)
    assert environment.prefixes({}, prefix) == {"AMENT_PREFIX_PATH": prefix}
    assert environment.prefixes({"AMENT_PREFIX_PATH": "/opt/ros/jazzy"}, prefix) == {
        "AMENT_PREFIX_PATH": f"{prefix}{os.pathsep}/opt/ros/jazzy"
    }


def test_an_overlay_with_the_package_keeps_its_place(tmp_path: Path) -> None:
    here, overlay = package_in(tmp_path / "here"), package_in(tmp_path / "overlay")
    assert environment.prefixes({"AMENT_PREFIX_PATH": overlay}, here) == {}


def test_a_prefix_without_the_package_is_not_used(tmp_path: Path) -> None:
    assert environment.prefixes({}, str(tmp_path)) == {}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}),
        ({"ROS_DISTRO": "humble"}, {"ROS_LOCALHOST_ONLY": "1"}),
        ({"ROS_DOMAIN_ID": "7"}, {"ROS_DOMAIN_ID": "7"}),
    ],
)
def test_nodes_stay_on_this_machine_by_default(
    given: dict[str, str], expected: dict[str, str]
) -> None:
    child, _ = environment.children(given)
    assert expected.items() <= child.items()
    assert ("ROS_DOMAIN_ID" in child) == ("ROS_DOMAIN_ID" in given)


def test_another_python_makes_its_own_library_path() -> None:
    given = {"_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1"}
    assert "_ROS_WHEELS_BOOTSTRAP_COMPLETE" in environment.children(given)[0]
    assert "_ROS_WHEELS_BOOTSTRAP_COMPLETE" not in environment.children(given, "/usr/bin/other")[0]


@pytest.mark.parametrize("name", environment.PROFILE_VARIABLES)
def test_the_profile_of_the_user_is_kept(name: str) -> None:
    assert environment.transport({name: "mine.xml"}, 3) == ({}, "")


@pytest.mark.parametrize(("free", "short"), [(49, True), (50, False), (0, True)])
def test_room_in_shared_memory_decides_about_the_profile(
    free: int, short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = SimpleNamespace(f_bavail=free * 256, f_frsize=MIB // 256)
    monkeypatch.setattr(environment.os, "statvfs", lambda folder: state)
    variables, note = environment.transport({}, 3)
    assert bool(note) == short
    assert (variables == {}) == short
    if short:
        assert f"{free} MiB free" in note
        assert "--shm-size" in note


def test_a_missing_shared_memory_is_reported(tmp_path: Path) -> None:
    assert "cannot be used" in environment.shared_memory_shortage(3, str(tmp_path / "none"))


def test_a_program_finds_the_messages_from_a_bare_environment() -> None:
    code = (
        "from fsb_perception.ros import environment; environment.prepare();"
        "from fsb_perception.msg import FaceAttributesArray; FaceAttributesArray();"
        "import sys; print('torch' in sys.modules)"
    )
    bare = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    if os.environ.get("ROS_DISTRO"):  # a sourced installation is not ours to rebuild
        bare |= {name: value for name, value in os.environ.items() if name.endswith("PATH")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=bare, cwd="/", check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr
