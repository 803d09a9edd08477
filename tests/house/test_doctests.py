"""Every example in a docstring prints what it says."""

from __future__ import annotations

import doctest
import importlib
import re
from collections.abc import Iterator

import pytest

from tests.paths import ROOT

_PROMPT = re.compile(r"^ *>>> ", re.MULTILINE)


def modules_with_examples() -> Iterator[str]:
    """Yield the name of every module of both packages whose source holds an example."""
    for package in ("fsb_perception", "fsb_training"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if _PROMPT.search(path.read_text(encoding="utf-8")):
                parts = path.relative_to(ROOT).with_suffix("").parts
                yield ".".join(parts).removesuffix(".__init__")


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_examples_in_docstrings_are_true(name: str) -> None:
    module = importlib.import_module(name)
    assert any(test.examples for test in doctest.DocTestFinder().find(module)), "none is found"
    assert doctest.testmod(module).failed == 0
