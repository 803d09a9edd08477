"""The command line ``fsb``: a table of commands, each imported when it is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from fsb_perception import __version__
from fsb_perception.errors import errors_in_one_line


@dataclass(frozen=True)
class CommandRow:
    """A row of the table of commands.

    Attributes:
        name: as it is typed.
        where: ``module:object``, a `typer.Typer` or a function with typer's annotations.
        help: one line for ``fsb --help``, which then need not import the module.

    >>> CommandRow("onnx", "fsb_perception.commands.onnx:onnx", "Write ONNX.").load().name
    'onnx'
    """

    name: str
    where: str
    help: str

    def load(self) -> Any:
        """Import and return the command."""
        module, _, attribute = self.where.partition(":")
        part = getattr(importlib.import_module(module), attribute)
        if isinstance(part, typer.Typer):
            return typer.main.get_command(part)
        app = typer.Typer(add_completion=False, rich_markup_mode="rich")
        app.command()(part)
        return typer.main.get_command(app)


COMMANDS = (
    CommandRow(
        "demo",
        "fsb_perception.ros.demo.command:demo",
        "Show the whole line at work: camera, ROS 2 node, live table.",
    ),
    CommandRow(
        "image",
        "fsb_perception.commands.image:image",
        "Estimate gender, age group and emotion of the faces in pictures.",
    ),
    CommandRow(
        "bundle",
        "fsb_perception.commands.bundle:app",
        "Show and verify weight bundles; pull them from the model hub, or push them.",
    ),
    CommandRow(
        "replay",
        "fsb_perception.commands.replay:app",
        "Judge the node on recorded robots, without a running ROS.",
    ),
    CommandRow(
        "onnx",
        "fsb_perception.commands.onnx:onnx",
        "Write a bundle's encoder as one ONNX file, for other runtimes.",
    ),
)


class _LazyCommand(TyperCommand):
    """A placeholder in ``fsb --help``, which loads its command when it is called."""

    def __init__(self, row: CommandRow) -> None:
        super().__init__(row.name, help=row.help)
        self._row = row

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        """Return the context of the loaded command, which typer then invokes."""
        return self._row.load().make_context(info_name, args, *rest, **extra)


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for row in COMMANDS:
            self.add_command(_LazyCommand(row))


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        Console().print(f"fsb {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _fsb(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="print it and end"),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="show the traceback of an error, not only its message")
    ] = False,
) -> None:
    """Facial soft biometrics for social robots: gender, age and emotion as ROS 2 messages.

    [bold]Try[/]

      [cyan]fsb demo[/]                    the sample clip, through two ROS 2 processes

      [cyan]fsb demo --source webcam[/]    the same with your own face

      [cyan]fsb image party.jpg[/]         the faces in a picture, without ROS

      [cyan]fsb bundle show nano[/]        what the weights are, and how good
    """
    del version, debug  # the first has ended the program already, the second is read in main()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``fsb`` and exit; an error that the user can mend is one line and status 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with errors_in_one_line("fsb", debug="--debug" in given):
        app(given, prog_name="fsb")


if __name__ == "__main__":
    main()
