"""What the import-linter contracts in pyproject.toml cannot say about the parts of this project."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGES = ("fsb_perception", "fsb_training")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
CORE = [path for path in SOURCES if ROOT / "fsb_perception" / "ros" not in path.parents]
STAMPS_ONLY = ("tracking", "fusion", "quality", "pipeline")


def names_used(path: Path) -> Iterator[str]:
    """Dotted names that a file imports or takes attributes of, such as ``time.time``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield ast.unparse(node)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CORE, ids=relative)
def test_core_never_uses_the_messages(path):
    assert not [name for name in names_used(path) if name.startswith("fsb_perception.msg")]


@pytest.mark.parametrize("name", STAMPS_ONLY)
def test_time_comes_from_stamps_alone(name):
    clocks = ("time", "datetime")
    used = names_used(ROOT / "fsb_perception" / f"{name}.py")
    assert not [name for name in used if name.split(".")[0] in clocks]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_nothing_that_runs_code_is_loaded(path):
    pickles = {"pickle", "joblib", "dill", "cloudpickle"}
    assert not [name for name in names_used(path) if name.split(".")[0] in pickles]


def test_no_source_folder_hides_the_generated_messages():
    assert not (ROOT / "fsb_perception" / "msg").exists()


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("fsb_perception.msg", ("torch", "cv2", "timm")),
        ("fsb_perception.cli", ("torch", "cv2", "timm", "rclpy")),
        ("fsb_perception.ros.launching.graph", ("torch", "cv2", "numpy", "rclpy")),
        ("fsb_perception.ros.environment", ("torch", "cv2", "numpy", "rclpy")),
        ("fsb_perception.pipeline", ("rclpy", "open_clip", "peft", "face_alignment")),
        ("fsb_training.cli", ("rclpy", "open_clip", "peft", "face_alignment")),
    ],
)
def test_importing_is_cheap(module, unwanted):
    code = f"import sys, {module}; print(*sorted(set({unwanted}) & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []
