"""``fsb demo``: a camera and the node as processes of their own, and a live table of the faces."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from fsb_perception.command_options import BundleOption, DeviceOption
from fsb_perception.errors import FsbError, error_line
from fsb_perception.ros import environment
from fsb_perception.ros.demo.session import DemoError, DemoOptions, run_demo


def demo(
    source: Annotated[
        str, typer.Option(help="sample, webcam, a number, a device, a video, a picture or a folder")
    ] = "sample",
    bundle: BundleOption = "nano",
    device: DeviceOption = "auto",
    seconds: Annotated[
        float | None,
        typer.Option(min=0.5, help="end this long after the first answer; else at Ctrl-C"),
    ] = None,
    view: Annotated[bool, typer.Option(help="open a window with the annotated picture")] = True,
    report: Annotated[Path | None, typer.Option(help="write the measurements as JSON")] = None,
    picture: Annotated[
        Path, typer.Option(help="where to write the annotated picture at the end")
    ] = Path("demo_annotated.jpg"),
) -> None:
    """Run a camera and the node, and show the attributes of the faces that the camera sees."""
    environment.prepare()
    console = Console()
    options = DemoOptions(source, bundle, device, view, seconds, report, picture)
    try:
        _check_folders(report, picture)
        with _sigterm_as_ctrl_c():
            run_demo(options, console)
    except (FsbError, OSError) as error:
        text = f"[bold red]The demo ended:[/] {escape(error_line(error))}"
        console.print(text, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


def _check_folders(*files: Path | None) -> None:
    """Refuse a file in a missing folder before the run, not after it."""
    for file in files:
        if file is not None and not file.parent.is_dir():
            raise DemoError(f"cannot write {file}: there is no folder {file.parent}")


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that the node processes are stopped too."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    handler = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:  # before the node processes were started
        pass
    finally:
        signal.signal(signal.SIGTERM, handler)
