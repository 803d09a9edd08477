"""Every error class of the packages has one root, so that programs catch one class."""

from __future__ import annotations

import ast
import re

from tests.paths import ROOT

ROOT_CLASS = "FsbError"


def error_classes() -> dict[str, list[str]]:
    """Base names of every class that is named an error, by name."""
    return {
        node.name: [ast.unparse(base).rpartition(".")[2] for base in node.bases]
        for package in ("fsb_perception", "fsb_training")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
    }


def test_every_error_has_the_one_root():
    classes = error_classes()
    assert len(classes) > 10

    def has_root(name: str) -> bool:
        return name == ROOT_CLASS or any(has_root(base) for base in classes.get(name, []))

    assert not [name for name in classes if not has_root(name)]


def test_no_error_is_caught_by_the_name_of_its_class():
    pattern = re.compile(r"__name__\s*(==|!=|in\b|not in\b)")
    paths = [p for name in ("fsb_perception", "fsb_training") for p in (ROOT / name).rglob("*.py")]
    compared = {
        line.strip()
        for path in paths
        for line in path.read_text(encoding="utf-8").splitlines()
        if pattern.search(line) and "__main__" not in line
    }
    assert not compared
