"""Options that several commands share, and the console that they print on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fsb_perception.progress import TerminalProgress

CONSOLE = Console()
PROGRESS = TerminalProgress(CONSOLE)

RecipeFile = Annotated[
    str,
    typer.Argument(help="a YAML file, or a recipe that ships by name: fsb-train recipes"),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="overrides an entry of the recipe; repeatable"
    ),
]
Run = Annotated[
    Path | None, typer.Option(help="folder of the run; by default runs/ and the recipe's name")
]
Cache = Annotated[
    Path | None, typer.Option(help="keep decoded pictures and found faces here for next time")
]
MinCount = Annotated[
    int, typer.Option(min=2, help="groups of people with fewer faces are listed, but not judged")
]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to torch")]


@contextmanager
def faces_folder(cache: Path | None) -> Iterator[Path]:
    """Yield ``cache``, or a temporary folder: pictures of people are kept only if asked."""
    if cache:
        yield cache
        return
    with tempfile.TemporaryDirectory(prefix="fsb-faces-") as folder:
        yield Path(folder)


def set_threads(threads: int) -> None:
    """Set the number of CPU threads of torch; 0 leaves it as it is."""
    if threads:
        import torch

        torch.set_num_threads(threads)
