"""Options that several commands take, each with its help text, for typer's signatures.

Light to import: a command's ``--help`` reads it before anything else.
"""

from __future__ import annotations

from typing import Annotated

import typer

from fsb_perception.bundles import BUNDLE_HELP

BundleOption = Annotated[str, typer.Option(help=BUNDLE_HELP)]
BundleArgument = Annotated[str, typer.Argument(metavar="BUNDLE", help=BUNDLE_HELP)]
DeviceOption = Annotated[str, typer.Option(help="where to compute: auto, cuda or cpu")]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="any option, as tracker.max_coast=0.5; repeatable"
    ),
]
