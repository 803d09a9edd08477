"""``fsb demo``: a camera and the node as processes of their own, and what the node says, live."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape

from fsb_perception.command_options import BundleOption, DeviceOption
from fsb_perception.errors import FsbError
from fsb_perception.ros import environment
from fsb_perception.ros.demo import live_table
from fsb_perception.ros.launching.graph import DEMO_NAMESPACE, GRAPHS, NodeSpec
from fsb_perception.ros.launching.processes import NodeProcess, NodeProcesses

if TYPE_CHECKING:
    from fsb_perception.ros.demo.listener import Listener

_START_LIMIT = 180.0  # s until the first answer; loading torch from a slow disc takes its time
_PICTURE_LIMIT = 6.0  # s to wait for the closing picture
_DISCOVERY = 0.7  # s in which a demo that runs already is noticed
_LOG_LINES = 12  # of a process that failed
_PLAIN_EVERY = 2.0  # s between lines where there is no terminal
_LOG_HEAD = re.compile(r"^\[\w+\] \[[\d.]+\] \[[^\]]*\]: ")  # level, time and node of a log line
_LIVE_EVERY = 0.25  # s between pictures of the table where there is one


class DemoError(FsbError):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True)
class DemoOptions:
    """What was asked on the command line."""

    source: str
    bundle: str
    device: str
    view: bool
    seconds: float | None
    report: Path | None
    picture: Path


def demo(
    source: Annotated[
        str, typer.Option(help="sample, webcam, a number, a device, a video, a picture or a folder")
    ] = "sample",
    bundle: BundleOption = "nano",
    device: DeviceOption = "auto",
    seconds: Annotated[
        float | None,
        typer.Option(min=0.5, help="end after so long, from the first answer; else at Ctrl-C"),
    ] = None,
    view: Annotated[bool, typer.Option(help="open a window with the annotated picture")] = True,
    report: Annotated[Path | None, typer.Option(help="write what was measured as JSON")] = None,
    picture: Annotated[
        Path, typer.Option(help="where to write the annotated picture at the end")
    ] = Path("demo_annotated.jpg"),
) -> None:
    """Show the whole line at work: camera, node, and the attributes of the faces it sees."""
    environment.prepare()
    console = Console()
    options = DemoOptions(source, bundle, device, view, seconds, report, picture)
    try:
        _refuse_missing_folders(report, picture)
        with _terminating_like_ctrl_c():
            _Demo(options, console).run()
    except DemoError as error:
        text = f"[bold red]The demo ended:[/] {escape(str(error))}"
        console.print(text, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


def _refuse_missing_folders(*files: Path | None) -> None:
    """Before the run, not after it."""
    for file in files:
        if file is not None and not file.parent.is_dir():
            raise DemoError(f"cannot write {file}: there is no folder {file.parent}")


class _Demo:
    def __init__(self, options: DemoOptions, console: Console) -> None:
        self._options = options
        self._console = console
        self._seen_without_view = False

    def run(self) -> None:
        """Start everything, watch until the end, write the picture and the report."""
        specs = self._specs()
        variables, note = environment.children(os.environ, processes=len(specs) + 1)
        os.environ.update(variables)
        if note:
            self._say(note)
        # Loaded only now: the transport reads its variables when it is loaded.
        from fsb_perception.ros.demo.listener import listening

        with listening(DEMO_NAMESPACE) as heard:
            time.sleep(_DISCOVERY)
            self._refuse_company(heard, allowed=0)
            self._run_nodes(heard, specs, variables)
            summary = heard.summary()
        self._console.print(live_table.closing(summary))
        self._say(live_table.status(summary))
        if self._options.report:
            try:
                summary.write(self._options.report)
            except OSError as error:
                raise DemoError(f"the report could not be written: {error}") from None
            self._say(f"Report: {self._options.report}")

    def _run_nodes(
        self, heard: Listener, specs: tuple[NodeSpec, ...], variables: dict[str, str]
    ) -> None:
        with NodeProcesses(specs, variables) as self._processes:
            with contextlib.suppress(KeyboardInterrupt):
                self._wait_for_first_answer(heard)
                self._watch(heard)
            with contextlib.suppress(KeyboardInterrupt):
                self._write_picture(heard)

    def _specs(self) -> tuple[NodeSpec, ...]:
        from fsb_perception.ros.window import display_shortage

        options = self._options
        shortage = display_shortage() if options.view else ""
        if shortage:
            self._say(f"No window: {shortage}. The table and the closing picture are for you.")
        return GRAPHS["demo"].nodes(
            source=options.source,
            bundle=options.bundle,
            device=options.device,
            view=str(options.view and not shortage).lower(),
        )

    def _wait_for_first_answer(self, heard: Listener) -> None:
        self._say("Starting the camera and the node; the first start takes a while.")
        deadline = time.monotonic() + _START_LIMIT
        told = _newest(self._processes["face_attributes"])
        with self._console.status("waiting for the node ...") as spinner:
            while not heard.processed:
                self._check(heard)
                if time.monotonic() > deadline:
                    self._fail(
                        self._processes["face_attributes"], f"no answer in {_START_LIMIT:g} s"
                    )
                news = _newest(self._processes["face_attributes"])
                if news != told:
                    told = news
                    spinner.update(f"waiting for the node: {news}")
                    if not self._console.is_terminal:
                        self._say(f"  {news}")
                time.sleep(0.1)

    def _watch(self, heard: Listener) -> None:
        limit = self._options.seconds
        start = time.monotonic()
        if limit is None:
            self._say("Ctrl-C ends the demo, as does q in its window.")
        with self._display() as show:
            while limit is None or time.monotonic() - start < limit:
                time.sleep(min(_LIVE_EVERY, limit or _LIVE_EVERY))
                if self._check(heard):
                    return
                show(heard, time.monotonic() - start)

    @contextlib.contextmanager
    def _display(self) -> Iterator[Any]:
        if self._console.is_terminal:
            with Live(console=self._console, auto_refresh=False, transient=True) as live:
                yield lambda heard, _: live.update(
                    live_table.current(heard.summary()), refresh=True
                )
            return
        told = 0.0

        def show(heard: Listener, elapsed: float) -> None:
            nonlocal told
            if elapsed - told >= _PLAIN_EVERY:
                told = elapsed
                summary = heard.summary()
                status = live_table.status(summary)
                self._say(f"{elapsed:6.1f} s  {len(summary.faces)} faces  {status}")

        yield show

    def _check(self, heard: Listener) -> bool:
        """Whether the user closed the window; raises where a process that is needed has ended."""
        self._refuse_company(heard, allowed=1)
        for process in self._processes.ended():
            if not process.spec.ends_all:
                self._fail(process, f"ended with status {process.status}")
            if process.status == 0:
                return True
            if not self._seen_without_view:
                self._seen_without_view = True
                self._say(f"The window ended with status {process.status}; going on without it.")
        return False

    def _refuse_company(self, heard: Listener, allowed: int) -> None:
        if heard.cameras() > allowed:
            domain = os.environ.get("ROS_DOMAIN_ID", "0")
            raise DemoError(
                f"another demo is running in ROS domain {domain}. End it, or choose another domain "
                "for this one: ROS_DOMAIN_ID=42 make demo"
            )

    def _fail(self, process: NodeProcess, what: str) -> None:
        lines = "\n".join(f"  {line}" for line in process.last_lines(_LOG_LINES))
        raise DemoError(f"{process.spec.name}: {what}. Its last words:\n{lines or '  (none)'}")

    def _write_picture(self, heard: Listener) -> None:
        import cv2

        from fsb_perception.images.annotate import annotate

        taken = heard.take_picture(_PICTURE_LIMIT) if heard.processed else None
        if taken is None:
            self._say("No picture was written: no image came with its answer at the end.")
            return
        path = self._options.picture
        try:
            written = cv2.imwrite(str(path), annotate(*taken))
        except cv2.error:  # a suffix that OpenCV does not know
            written = False
        if not written:
            raise DemoError(f"cannot write the picture {path}: give a folder that exists, and .jpg")
        self._say(f"Annotated picture: {path.resolve()}")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _newest(process: NodeProcess) -> str:
    lines = process.last_lines(1)
    return _LOG_HEAD.sub("", lines[0]) if lines else "starting"


@contextlib.contextmanager
def _terminating_like_ctrl_c() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that the node processes are ended in good order."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:  # so early that nothing was running yet
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
