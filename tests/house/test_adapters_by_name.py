"""No module knows an adapter by name: a new one is a class and a row of the table."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsb_perception.adapters import ADAPTERS
from tests.paths import ROOT

INTERFACE = {"fsb_perception.adapters", "fsb_perception.adapters.base"}
SHARED = {"fsb_perception.adapters.streams"}  # towers with a feature for each task
NAMES = frozenset(ADAPTERS)
CLASSES = {kind.__name__ for kind in ADAPTERS.values()}
SOURCES = [
    path
    for package in ("fsb_perception", "fsb_training")
    for path in sorted((ROOT / package).rglob("*.py"))
    if "adapters" not in path.parts
]


def faults(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "fsb_perception.adapters"
        ):
            if node.module not in INTERFACE | SHARED:
                yield f"imports {node.module}"
            yield from (f"imports {a.name}" for a in node.names if a.name in CLASSES)
        elif isinstance(node, ast.Compare):
            for constant in ast.walk(node):
                if isinstance(constant, ast.Constant) and constant.value in NAMES:
                    yield f"compares with {constant.value!r} in line {node.lineno}"
        elif isinstance(node, ast.MatchValue) and ast.literal_eval(node.value) in NAMES:
            yield f"matches {ast.unparse(node.value)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_adapter_is_known_by_name(path: Path) -> None:
    assert list(faults(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "from fsb_perception.adapters.lora import Lora",
        "from fsb_perception.adapters.prefix import Prompted",
        "if method == 'lora': pass",
        "ranked = method in ('lora', 'dora')",
    ],
)
def test_the_check_sees_each_way_to_know_one(code: str) -> None:
    assert list(faults(ast.parse(code)))
