#!/usr/bin/env python3
"""Draw the import graph of the two packages into ARCHITECTURE.md, from the code itself.

    .venv/bin/python scripts/draw_imports.py            write the graph
    .venv/bin/python scripts/draw_imports.py --check    fail if the file shows another graph

An arrow says that a package imports another, lazily or not. Arrows that follow from others are left
out: where A imports B and B imports C, an arrow from A to C adds nothing to the order.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "ARCHITECTURE.md"
PACKAGES = ("fsb_perception", "fsb_training")
BEGIN, END = "<!-- imports: begin -->\n", "<!-- imports: end -->"

Edges = dict[str, set[str]]


def edges_of(package: str) -> Edges:
    """Return what each child of ``package`` imports of its siblings, by name without the package.

    Raises:
        ValueError: the imports form a circle.
    """
    graph = grimp.build_graph(package, include_external_packages=False, cache_dir=None)
    children = sorted(graph.find_children(package))
    edges: Edges = {child: set() for child in children}
    for importer in children:
        for imported in children:
            if importer != imported and graph.direct_import_exists(
                importer=importer, imported=imported, as_packages=True
            ):
                edges[importer].add(imported)
    _refuse_circles(edges)
    return {
        child.rpartition(".")[2]: {other.rpartition(".")[2] for other in _needed(child, edges)}
        for child in children
    }


def _reachable(start: str, edges: Edges) -> set[str]:
    seen: set[str] = set()
    waiting = list(edges[start])
    while waiting:
        child = waiting.pop()
        if child not in seen:
            seen.add(child)
            waiting.extend(edges[child])
    return seen


def _refuse_circles(edges: Edges) -> None:
    for child in edges:
        if child in _reachable(child, edges):
            raise ValueError(f"{child} imports itself through {sorted(_reachable(child, edges))}")


def _needed(child: str, edges: Edges) -> set[str]:
    """Return the imports of ``child`` that no other import of it implies."""
    implied = {far for near in edges[child] for far in _reachable(near, edges)}
    return edges[child] - implied


def mermaid(package: str) -> str:
    """Return the graph of one package as a Mermaid code block."""
    lines = [
        f"    {child} --> {imported}"
        for child, children in sorted(edges_of(package).items())
        for imported in sorted(children)
    ]
    return "\n".join([f"`{package}`:", "", "```mermaid", "graph TD", *lines, "```", ""])


def page_with_graphs(text: str) -> str:
    """Return the page with the graphs between its two marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + "\n" + "\n".join(map(mermaid, PACKAGES)) + "\n" + END + tail


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw the imports into ARCHITECTURE.md.")
    parser.add_argument(
        "--check", action="store_true", help="compare only; status 1 if they differ"
    )
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))  # before the environment, where the messages share the name
    text = PAGE.read_text(encoding="utf-8")
    drawn = page_with_graphs(text)
    if options.check:
        if drawn != text:
            print(f"{PAGE.name} shows other imports than the code: run scripts/draw_imports.py")
        return int(drawn != text)
    PAGE.write_text(drawn, encoding="utf-8")
    print(f"Written: {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
