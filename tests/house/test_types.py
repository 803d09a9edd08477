"""Types: `Any` stands only where a library or a file without types begins."""

from __future__ import annotations

import ast

from tests.paths import ROOT

# Files that may write `Any`, by the reason.
EDGES = {
    "messages of ROS, whose classes are generated without types": (
        "fsb_perception/ros",
        "fsb_perception/codec.py",
        "fsb_perception/field_kinds.py",
        "fsb_perception/replay/annotated.py",
        "fsb_perception/replay/bags/reader.py",
        "fsb_perception/replay/recording/installed_types.py",
        "fsb_perception/replay/sample/bag.py",
    ),
    "trees of JSON and YAML files, whose values have many types": (
        "fsb_perception/options.py",
        "fsb_perception/replay/report/files.py",
        "fsb_perception/replay/rows.py",
        "fsb_perception/replay/scoring/attributes.py",
        "fsb_training/commands/tables.py",
        "fsb_training/experiments/records.py",
        "fsb_training/experiments/results.py",
        "fsb_training/judging/evaluate.py",
        "fsb_training/learning/checkpoint_files.py",
        "fsb_training/learning/checkpoints.py",
    ),
    "calls of typer, matplotlib, timm, transformers, Fabric, torch and trimesh": (
        "fsb_perception/cli.py",
        "fsb_perception/pages/drawing.py",
        "fsb_perception/replay/report/figures.py",
        "fsb_perception/replay/sample/rendered",
        "fsb_perception/towers",
        "fsb_training/data/batches.py",
        "fsb_training/learning/fabric.py",
        "fsb_training/learning/progress.py",
        "fsb_training/learning/state.py",
        "fsb_training/memory.py",
        "fsb_training/report/features.py",
        "fsb_training/report/figures.py",
    ),
}
ALLOWED = tuple(place for places in EDGES.values() for place in places)


def _writes_any(source: str) -> bool:
    names = (node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name))
    attributes = (n.attr for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Attribute))
    return "Any" in {*names, *attributes}


def test_any_is_written_at_the_edges_alone():
    writers = {
        path.relative_to(ROOT).as_posix()
        for package in ("fsb_perception", "fsb_training")
        for path in (ROOT / package).rglob("*.py")
        if _writes_any(path.read_text(encoding="utf-8"))
    }
    assert [writer for writer in sorted(writers) if not writer.startswith(ALLOWED)] == []
    unused = [p for p in ALLOWED if not any(writer.startswith(p) for writer in writers)]
    assert unused == [], "these write no Any: take them off the list"
