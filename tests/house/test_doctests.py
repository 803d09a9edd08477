"""Every example in a docstring prints what it says."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from collections.abc import Iterator

import pytest

from tests.paths import ROOT

# Errors, and types that need a model, a terminal or a running program.
NEEDS_NONE = {
    "files.FileError",
    "options.OptionError",
    "pipeline.FacePipeline",
    "problems.Tally",
    "progress.Bar",
    "progress.TerminalProgress",
    "downloads.DownloadError",
    "tables.TableError",
}

_PROMPT = re.compile(r"^ *>>> ", re.MULTILINE)


def modules_with_examples() -> Iterator[str]:
    """Yield the name of every module of both packages whose source holds an example."""
    for package in ("fsb_perception", "fsb_training"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if _PROMPT.search(path.read_text(encoding="utf-8")):
                parts = path.relative_to(ROOT).with_suffix("").parts
                yield ".".join(parts).removesuffix(".__init__")


def types_without_example() -> Iterator[str]:
    """Yield the public types of the core's ground floor that show no example."""
    for path in sorted((ROOT / "fsb_perception").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            public = isinstance(node, ast.ClassDef) and not node.name.startswith("_")
            if public and ">>> " not in (ast.get_docstring(node) or ""):
                yield f"{path.stem}.{node.name}"


def test_every_type_of_the_ground_floor_has_an_example() -> None:
    assert set(types_without_example()) <= NEEDS_NONE


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_examples_in_docstrings_are_true(name: str) -> None:
    module = importlib.import_module(name)
    assert any(test.examples for test in doctest.DocTestFinder().find(module)), "none is found"
    assert doctest.testmod(module).failed == 0
