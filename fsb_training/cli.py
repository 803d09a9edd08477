"""The command ``fsb-train``, which trains, judges and compares bundles."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer
from rich.logging import RichHandler

from fsb_perception.errors import errors_in_one_line
from fsb_training.commands import data, evaluate, fit, params, report, sweep
from fsb_training.commands.options import CONSOLE

app = typer.Typer(
    help="Train and judge the bundles that FSB runs.\n\n"
    "fsb-train fit nano --set data.root=DIR\n\n"
    "fsb-train evaluate --bundle nano --data-root DIR --datasets FairFace:val FERPlus:test",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _command in (
    fit.fit, fit.recipes, fit.export, evaluate.evaluate, report.report,
    data.data, params.params, sweep.sweep,
):  # fmt: skip
    app.command()(_command)


@app.callback()
def _fsb_train(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error came from, not only what it says.")
    ] = False,
) -> None:
    del debug  # main() reads it


def main() -> None:
    """Run ``fsb-train``; an error that a user can mend is one line and status 2."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(message)s",
        handlers=[RichHandler(console=CONSOLE, show_path=False)],
    )
    with errors_in_one_line("fsb-train", debug="--debug" in sys.argv):
        app()


if __name__ == "__main__":
    main()
