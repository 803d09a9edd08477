"""The command ``fsb-train``: makes, judges and compares bundles."""

from __future__ import annotations

import logging
import sys

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape

from fsb_training.commands import judging, learning, looking, sweeping
from fsb_training.commands.shared import CONSOLE

app = typer.Typer(
    help="Train and judge the bundles that FSB runs.\n\n"
    "fsb-train fit nano --set data.root=DIR\n\n"
    "fsb-train evaluate --bundle nano --data-root DIR --datasets FairFace:val FERPlus:test",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _command in (
    learning.fit, learning.recipes, learning.export, judging.evaluate, judging.report,
    looking.data, looking.params, sweeping.sweep,
):  # fmt: skip
    app.command()(_command)


def main() -> None:
    """Entry point of ``fsb-train``: our own errors are one line, not a traceback."""
    from fsb_perception.bundles.manifest import BundleError
    from fsb_perception.detection.base import DetectorError
    from fsb_perception.options import OptionError
    from fsb_perception.registry import UnknownNameError
    from fsb_perception.towers.weights import WeightsError
    from fsb_training.datasets.faceset import DatasetError

    logging.basicConfig(
        level=logging.INFO,
        format="%(message)s",
        handlers=[RichHandler(console=CONSOLE, show_path=False)],
    )
    ours = (
        BundleError, DetectorError, OptionError, UnknownNameError, WeightsError, DatasetError,
    )  # fmt: skip
    try:
        app()
    except (*ours, RuntimeError, ValueError) as error:
        if not isinstance(error, ours) and type(error).__name__ != "TrainingError":
            raise
        Console(stderr=True, soft_wrap=True).print(
            f"[bold red]fsb-train:[/] {escape(str(error))}", highlight=False
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
