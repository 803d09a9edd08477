"""Options that several commands share, and the console that they print on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fsb_perception.progress import TerminalProgress
from fsb_perception.temporary import private_folder

if TYPE_CHECKING:
    from fsb_perception.bundles.bundle import Bundle
    from fsb_training.data.faces import Source

CONSOLE = Console()
PROGRESS = TerminalProgress(CONSOLE)

DataRoot = Annotated[Path, typer.Option(help="folder with the data sets in it")]
MoreParts = Annotated[list[str] | None, typer.Argument(metavar="[NAME:PART]...")]
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
def judged_faces(
    bundles: Sequence[Bundle], specs: Sequence[str], data_root: Path, cache: Path | None
) -> Iterator[list[Source]]:
    """Open the faces that bundles are judged on.

    Args:
        bundles: bundles that drew their "dev" in the same way.
        specs: ``NAME:PART`` of each data set.
        data_root: folder of the data sets.
        cache: folder that keeps decoded pictures; None for a temporary one.

    Raises:
        OptionError: the bundles differ in "dev", or a text names no part.
        DatasetError: a data set is absent, or cannot be read.
    """
    from fsb_training.judging.evaluate import dev_split, open_parts
    from fsb_training.recipe_options import DataOptions

    split = dev_split(bundle.manifest for bundle in bundles)
    with _faces_folder(cache) as folder:
        options = DataOptions(root=str(data_root), cache=str(folder), **split)
        yield open_parts(specs, options, PROGRESS)


@contextmanager
def _faces_folder(cache: Path | None) -> Iterator[Path]:
    """Yield ``cache``, or a temporary folder: pictures of people are kept only if asked."""
    if cache:
        yield cache
        return
    with private_folder("fsb-faces-") as folder:
        yield folder


def require_folder_of(file: Path) -> None:
    """Require that the folder of a file exists, before a long command starts.

    Raises:
        OptionError: there is no such folder.
    """
    from fsb_perception.options import OptionError

    if not file.parent.is_dir():
        raise OptionError(f"cannot write {file}: there is no folder {file.parent}")


def set_threads(threads: int) -> None:
    """Set the number of CPU threads of torch; 0 leaves it as it is."""
    if threads:
        import torch

        torch.set_num_threads(threads)
