"""``fsb bundle``: show and verify weight bundles, pull them from the hub and push them to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fsb_perception.errors import visible

if TYPE_CHECKING:
    from fsb_perception.bundles.bundle import Bundle
    from fsb_perception.bundles.hub import HubId

_MOST_LINED = 7  # columns that fit 80 characters with lines between them

app = typer.Typer(
    no_args_is_help=True,
    help="Show and verify weight bundles; pull them from the model hub, or push them.",
)

_Reference = Annotated[
    str, typer.Argument(metavar="NAME", help="a name, a folder, or owner/name of a pulled bundle")
]
_Repository = Annotated[
    str, typer.Argument(metavar="OWNER/NAME", help="a repository of the model hub")
]
_Digest = Annotated[
    str,
    typer.Option(metavar="sha256:...", help="the digest that the bundle must have, or status 2"),
]


@app.command()
def show(
    name: _Reference = "nano",
    json_text: Annotated[bool, typer.Option("--json", help="print the manifest instead")] = False,
) -> None:
    """Print tasks, size, training data, measured metrics and intended use."""
    from fsb_perception.bundles.bundle import find_bundle, read_manifest

    bundle = read_manifest(find_bundle(name))
    console = Console()
    if json_text:
        console.print_json(bundle.manifest.to_json(), ensure_ascii=True)
        return
    for part in _parts(bundle):
        console.print(part, highlight=False)
        console.print()


@app.command()
def verify(name: _Reference = "nano", expect: _Digest = "") -> None:
    """Check every file against its sha256. Status 1 if one differs or is missing.

    The digest covers the whole bundle: note it where you got the bundle from, and give it later.
    """
    from fsb_perception.bundles.bundle import check_digest, find_bundle, read_manifest, verify_files

    bundle = read_manifest(find_bundle(name))
    console = Console(soft_wrap=True, highlight=False)
    faults = verify_files(bundle)
    for file, fault in faults.items():
        verdict = f"[bold red]{escape(fault)}[/]" if fault else "[green]matches its sha256[/]"
        console.print(f"{_shown(str(bundle.folder / file))}: {verdict}")
    if any(faults.values()):
        console.print("[bold red]Do not use this bundle:[/] get it again from where it came from.")
        raise typer.Exit(1)
    if expect:
        check_digest(bundle, expect)
    if not bundle.is_sealed:
        console.print(
            f"[yellow]Its manifest, of format {bundle.manifest.format_version}, holds no hash of "
            f"itself: add one with `fsb bundle seal {_shown(str(bundle.folder))}`.[/]"
        )
    expected = ", the one expected" if expect else ""
    console.print(f"[bold]{bundle.bundle_id}[/] is whole{expected}: sha256:{bundle.digest}")


@app.command()
def seal(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="a bundle whose files you trust")
    ],
) -> None:
    """Write the manifest's hash of itself again, after you edited it or for an older bundle.

    The weights must match the manifest. The digest and the id of the bundle change.
    """
    from fsb_perception.bundles.bundle import seal_bundle

    bundle = seal_bundle(folder)
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]{bundle.bundle_id}[/] is sealed: sha256:{bundle.digest}")


@app.command()
def upgrade(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="of a bundle, which is changed")],
) -> None:
    """Write encoder.onnx beside the weights of an older bundle, so that it runs without torch.

    The graph is compared with torch before it is kept. It needs requirements/onnx.txt and torch,
    and takes up to a minute. The manifest then names one file more: the bundle gets another id.
    """
    from fsb_perception.bundles.bundle import add_graph, load_bundle

    before = load_bundle(folder)
    console = Console(soft_wrap=True, highlight=False)
    if before.has_graph:
        console.print(f"[bold]{before.bundle_id}[/] has a graph already.")
        return
    console.print(f"{before.bundle_id} is now [bold]{add_graph(before).bundle_id}[/]")


@app.command()
def pull(repository: _Repository, expect: _Digest = "") -> None:
    """Download a bundle from the model hub; OWNER/NAME@REVISION for a branch, tag or commit.

    The manifest is checked before the weights are requested, and every file is verified. Only
    manifest.json, weights.safetensors and README.md are downloaded.
    """
    from fsb_perception.bundles.bundle import pull_bundle

    hub_id = _hub_id(repository)
    bundle = pull_bundle(hub_id, expect)
    console = Console(soft_wrap=True)
    console.print(f"[bold]{bundle.bundle_id}[/] is whole, in {_shown(str(bundle.folder))}")
    console.print(f"Use it as [cyan]{hub_id}[/]; [cyan]fsb bundle show {hub_id}[/] describes it.")
    if Path(repository).exists():
        console.print(f"[yellow]There is a folder {hub_id} here too, which takes precedence.[/]")


@app.command()
def push(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a name, or a folder")],
    repository: _Repository,
    public: Annotated[
        bool, typer.Option("--public", help="let everybody read it; it is private otherwise")
    ] = False,
    create: Annotated[bool, typer.Option(help="make the repository if there is none")] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print what would be uploaded, and end")
    ] = False,
) -> None:
    """Upload a bundle to the model hub: its manifest, its weights, and a model card.

    The bundle is verified first. Log in beforehand with `hf auth login`.
    """
    from fsb_perception.bundles.bundle import load_bundle
    from fsb_perception.bundles.card import model_card, push_bundle

    hub_id = _hub_id(repository)
    bundle = load_bundle(name)
    card = model_card(bundle, hub_id)
    console = Console(soft_wrap=True, highlight=False)
    console.print(_uploads(bundle, hub_id, card, public))
    if not bundle.has_graph:
        console.print(f"[yellow]It runs with torch alone:[/] fsb bundle upgrade {_shown(name)}")
    if dry_run:
        console.print(visible(card), markup=False)
        return
    address = push_bundle(bundle, hub_id, private=not public, create=create)
    console.print(f"[bold]{bundle.bundle_id}[/] is at {_shown(address)}")


def _hub_id(text: str) -> HubId:
    from fsb_perception.bundles.hub import HubId

    hub_id = HubId.parse(text)
    if hub_id is None:
        raise typer.BadParameter(f"{text!r} is not owner/name or owner/name@revision")
    return hub_id


def _uploads(bundle: Bundle, hub_id: HubId, card: str, public: bool) -> Table:
    from fsb_perception.bundles.hub import CARD
    from fsb_perception.bundles.manifest import MANIFEST

    reader = "for everybody to read" if public else "private"
    sizes = {
        name: (bundle.folder / name).stat().st_size for name in (MANIFEST, *bundle.manifest.files)
    }
    rows = [[name, f"{size:,} bytes"] for name, size in sizes.items()]
    rows.append([CARD, f"{len(card.encode()):,} bytes, written from the manifest"])
    return _table(f"To {hub_id}, {reader}", [["file", "size"], *rows])


def _parts(bundle: Bundle) -> Iterator[Table | str]:
    from fsb_perception.bundles.card import data_rows, metric_rows, task_rows

    manifest = bundle.manifest
    yield _facts(bundle)
    yield _table("Tasks", task_rows(manifest))
    yield _table("Trained on", data_rows(manifest), numbers=(1,))
    metrics = metric_rows(manifest)
    yield _table("Metrics", metrics, numbers=range(2, len(metrics[0])), whole=(0, 1))
    yield f"[bold]Intended use[/]\n{_shown(manifest.intended_use)}"
    yield f"[bold]Limits[/]\n{_shown(manifest.limits)}"


def _facts(bundle: Bundle) -> Table:
    from fsb_perception.bundles.card import fact_rows

    first, *rest = fact_rows(bundle)
    licence = ["licence", bundle.manifest.licence]
    table = Table.grid(padding=(0, 2))
    for name, value in (first, ["folder", str(bundle.folder)], *rest, licence):
        table.add_row(f"[bold]{name}[/]", _shown(value))
    return table


def _table(
    title: str,
    rows: Sequence[Sequence[str]],
    numbers: Sequence[int] = (),
    whole: Sequence[int] = (),
) -> Table:
    """Build a table.

    With many columns it has no lines between them, so that it fits 80 characters.

    Args:
        title: above the table.
        rows: the first is the heading.
        numbers: indices of columns that are aligned to the right.
        whole: indices of columns that are never wrapped.
    """
    heading, *rest = rows
    table = Table(title=title, title_justify="left")
    if len(heading) > _MOST_LINED:
        table.box, table.padding = SIMPLE_HEAD, 0
    for column, name in enumerate(heading):
        table.add_column(_shown(name), no_wrap=column in whole)
        table.columns[-1].justify = "right" if column in numbers else "left"
    for row in rest:
        table.add_row(*map(_shown, row))
    return table


def _shown(text: str) -> str:
    """Return a text from elsewhere as it can be printed: neither markup nor terminal codes."""
    return escape(visible(text))
