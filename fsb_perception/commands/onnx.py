"""``fsb onnx``: write a bundle's encoder as one file for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fsb_perception.command_options import BundleArgument


def onnx(
    bundle: BundleArgument,
    path: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="the file to write")],
) -> None:
    """Write the multitask encoder as ONNX, checked against torch first.

    The file takes normalised pixels and returns the logits of every task. Its metadata hold labels,
    temperatures, mean and deviation. See docs/onnx.md.
    """
    from fsb_perception.bundles.bundle import load_bundle
    from fsb_perception.bundles.graph import INPUT
    from fsb_perception.bundles.onnx import export_onnx

    console = Console()
    loaded = load_bundle(bundle)
    with console.status(f"exporting {loaded.bundle_id} ..."):
        file = export_onnx(loaded, path)
    size = loaded.manifest.preprocessing.size
    table = Table("", "name", "shape", box=None)
    table.add_row("input", INPUT, f"(n, 3, {size}, {size})")
    for name, count in file.outputs.items():
        table.add_row("output", name, f"(n, {count})")
    console.print(table)
    console.print(
        f"[bold]{escape(str(path))}[/]: {file.size_bytes / 1e6:.1f} MB, "
        f"within {file.difference:.1e} of torch's logits",
        highlight=False,
    )
