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
        line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").split("\n")
    )
    return [Requirement(line) for line in lines if line]


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
    while waiting:
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
