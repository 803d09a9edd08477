"""``fsb bundle``: what a weight bundle is, and whether its files are what they should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from fsb_perception.bundle import Bundle, Manifest

app = typer.Typer(no_args_is_help=True, help="Show what a weight bundle is, or verify its files.")

_Reference = Annotated[str, typer.Argument(metavar="NAME", help="a name, or a folder")]


@app.command()
def show(
    name: _Reference = "nano",
    json_text: Annotated[bool, typer.Option("--json", help="Print the manifest instead.")] = False,
) -> None:
    """Print tasks, size, training data, measured metrics and intended use."""
    from fsb_perception.bundle import find_bundle, read_manifest

    bundle = read_manifest(find_bundle(name))
    console = Console()
    if json_text:
        console.print_json(bundle.manifest.to_json())
        return
    for part in _parts(bundle):
        console.print(part, highlight=False)
        console.print()


@app.command()
def verify(name: _Reference = "nano") -> None:
    """Check every file against the manifest's sha256. Status 1 if one differs or is missing."""
    from fsb_perception.bundle import find_bundle, read_manifest, verify_files

    bundle = read_manifest(find_bundle(name))
    console = Console()
    faults = verify_files(bundle)
    for file, fault in faults.items():
        verdict = f"[bold red]{escape(fault)}[/]" if fault else "[green]as its sha256 says[/]"
        console.print(f"{escape(str(bundle.folder / file))}: {verdict}", highlight=False)
    if any(faults.values()):
        console.print("[bold red]Do not use this bundle:[/] get it again from where it came from.")
        raise typer.Exit(1)
    console.print(f"[bold]{bundle.bundle_id}[/] is whole.", highlight=False)


def _parts(bundle: Bundle) -> Iterator[Table | str]:
    manifest = bundle.manifest
    yield _facts(bundle)
    yield _tasks(manifest)
    yield _data(manifest)
    yield _metrics(manifest)
    yield f"[bold]Intended use[/]\n{escape(manifest.intended_use)}"
    yield f"[bold]Limits[/]\n{escape(manifest.limits)}"


def _facts(bundle: Bundle) -> Table:
    manifest = bundle.manifest
    size = manifest.preprocessing.size
    table = Table.grid(padding=(0, 2))
    for name, value in (
        ("bundle", bundle.bundle_id),
        ("folder", str(bundle.folder)),
        ("size", f"{bundle.size_bytes / 1e6:.1f} MB"),
        ("backbone", manifest.backbone),
        ("faces", f"{size} x {size} px, aligned by {manifest.preprocessing.alignment}"),
        ("licence", manifest.licence),
    ):
        table.add_row(f"[bold]{name}[/]", escape(value))
    return table


def _tasks(manifest: Manifest) -> Table:
    table = Table("task", "labels", "temperature", title="Tasks", title_justify="left")
    for task in manifest.tasks:
        temperature = manifest.temperatures.get(task.name, 1.0)
        table.add_row(task.name, ", ".join(task.labels), f"{temperature:.2f}")
    return table


def _data(manifest: Manifest) -> Table:
    table = Table(title="Trained on", title_justify="left")
    table.add_column("data set")
    table.add_column("images", justify="right")
    table.add_column("licence")
    for data in manifest.training_data:
        table.add_row(escape(data.name), f"{data.count:,}", escape(data.licence))
    return table


def _metrics(manifest: Manifest) -> Table:
    """One row a data set and task; a column for every metric that any of them has."""
    rows = [
        (data, task, metrics)
        for data, tasks in manifest.metrics.items()
        for task, metrics in tasks.items()
    ]
    names = list(dict.fromkeys(name for _, _, metrics in rows for name in metrics))
    table = Table(title="Metrics", title_justify="left")
    for name in ("measured on", "task"):
        table.add_column(name, no_wrap=True)
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for data, task, metrics in rows:
        table.add_row(escape(data), task, *(_metric(metrics.get(name)) for name in names))
    return table


def _metric(value: float | int | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
