"""A clone in an ordinary workspace builds with colcon, and what it installs runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fsb_perception.ros.launching.graph import GRAPHS
from tests.paths import ROOT

INSTALLED = Path("install", "fsb_perception")

# One worker builds for all of them; the first of them waits for the compiler.
pytestmark = [pytest.mark.timeout(300), pytest.mark.long]

PROGRAMS = dict(
    re.findall(r"fsb_program\((\S+) (\S+)\)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"))
)


def test_every_node_of_the_launch_files_is_installed():
    nodes = {node.executable: node.module for graph in GRAPHS.values() for node in graph.nodes()}
    assert nodes.items() <= PROGRAMS.items()


@pytest.mark.parametrize("module", sorted(set(PROGRAMS.values())))
def test_every_program_has_a_main(module):
    path = ROOT / Path(*module.split(".")).with_suffix(".py")
    assert re.search(
        r"^def main\(|import .*\bmain\b", path.read_text(encoding="utf-8"), re.MULTILINE
    )


def run(command: str, folder: Path, **variables: str) -> str:
    """Output of a shell command in a clean environment with this Python in front."""
    path = os.pathsep.join([str(Path(sys.prefix, "bin")), "/usr/local/bin", "/usr/bin", "/bin"])
    sourced = os.environ["AMENT_PREFIX_PATH"] if os.environ.get("ROS_DISTRO") else sys.prefix
    clean = {"PATH": path, "HOME": str(folder), "AMENT_PREFIX_PATH": sourced}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=clean | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """A workspace with a copy of what git would give a clone, built."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: what a clone would hold is not known")
    folder = tmp_path_factory.mktemp("workspace")
    source = folder / "src" / "fsb"
    source.mkdir(parents=True)
    listing = "git ls-files --cached --others --exclude-standard -z"
    run(f"{listing} | tar --create --null --files-from=- | tar -x -C {source}", ROOT)
    run("colcon build", folder, VIRTUAL_ENV=sys.prefix, CMAKE_BUILD_PARALLEL_LEVEL="2")
    return folder


@pytest.mark.parametrize("name", ["greeter", *sorted(PROGRAMS)])
def test_program_starts_with_the_python_of_the_build(workspace, name):
    program = workspace / INSTALLED / "lib" / "fsb_perception" / name
    assert os.access(program, os.X_OK)
    first, *_ = program.read_text(encoding="utf-8").splitlines()
    assert first.startswith(f"#!{sys.prefix}/bin/python")


@pytest.mark.parametrize(
    "file",
    [
        "config/fastdds.xml",
        "config/fastdds_local.xml",
        "launch/demo.launch.py",
        "launch/perception.launch.py",
        "package.xml",
    ],
)
def test_shared_files_are_installed(workspace, file):
    assert (workspace / INSTALLED / "share" / "fsb_perception" / file).is_file()


def test_messages_and_packages_come_from_the_workspace(workspace):
    code = (
        "import fsb_perception, fsb_perception.tasks as core, fsb_training; "
        "from fsb_perception.msg import FaceAttributes as message; import sys; "
        "print(core.__file__, fsb_training.__file__, sys.modules[message.__module__].__file__)"
    )
    said = run(f'. install/setup.bash && cd / && python -c "{code}"', workspace)
    places = said.split()[-3:]
    assert [place.startswith(str(workspace / INSTALLED)) for place in places] == [True] * 3


def test_installed_command_line_answers(workspace):
    program = INSTALLED / "lib" / "fsb_perception" / "fsb"
    assert "Usage" in run(f". install/setup.bash && {program} --help", workspace)


def test_installed_node_starts(workspace):
    """As far as it gets without a bundle: it says which one it looked for, and ends."""
    node = INSTALLED / "lib" / "fsb_perception" / "face_attributes"
    arguments = "--ros-args -p bundle:=/no/such/bundle"
    said = run(f". install/setup.bash && {{ {node} {arguments}; test $? -eq 1; }}", workspace)
    assert "/no/such/bundle" in said
