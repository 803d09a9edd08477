"""``fsb replay record``: write a running robot's topics to a bag that can be judged."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from fsb_perception.replay.recording.session import RecordState

_CONSOLE = Console(soft_wrap=True, highlight=False)
_MEGABYTE = 1_000_000
_LIVE_EVERY, _PLAIN_EVERY = 0.25, 2.0  # s between tables in a terminal, and lines elsewhere
_WARNING = (
    "The bag holds images of people, or what was estimated of them: record with their consent, "
    "keep it safe, and delete it after use."
)


def record(
    out: Annotated[Path, typer.Option(help="folder of the bag; must not be there yet")],
    topics: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TOPIC]...", help="topics; all of images and of faces if none"),
    ] = None,
    nodes: Annotated[
        list[str] | None,
        typer.Option("--all-of-node", metavar="NAME", help="all topics of a node; repeatable"),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="how long; until Ctrl-C by default")
    ] = None,
    storage: Annotated[str, typer.Option(help="mcap or sqlite3")] = "mcap",
    max_size: Annotated[
        float, typer.Option(min=0.0, metavar="MB", help="end at so many MB; 0 for no limit")
    ] = 0.0,
    wait: Annotated[
        float, typer.Option(min=0.0, help="seconds to wait for topics without a publisher")
    ] = 20.0,
) -> None:
    """Write topics of a running robot to a rosbag2, byte for byte.

    It ends at Ctrl-C, SIGTERM, --seconds, --max-size, or before the disk is full, and the bag is
    whole. The exit status is 1 if messages were lost or the disk ended it.
    """
    from fsb_perception.ros import environment

    environment.prepare()  # may start the program again
    variables, note = environment.transport(os.environ, processes=1)
    os.environ.update(variables)
    if note:
        _print(note)
    # Imported only now: the transport reads its variables when it is loaded.
    from fsb_perception.replay.recording.session import RecordRequest
    from fsb_perception.replay.recording.session import record as run
    from fsb_perception.ros.recording.node import subscribing

    most = int(max_size * _MEGABYTE)
    request = RecordRequest(out, topics or (), nodes or (), storage, seconds, most, wait)
    _CONSOLE.print(f"[yellow]{_WARNING}[/]")
    with _display() as show:
        state = run(request, subscribing, _print, show)
    _summarise(out, state)


def _summarise(out: Path, state: RecordState) -> None:
    from fsb_perception.replay.recording.topics import image_topics

    _CONSOLE.print(_table(state))
    _print(f"Ended: {state.ended}.")
    _print(f"Written: {out}, {_line(state)}")
    if any(state.messages[topic] for topic in image_topics(state.kinds)):
        _print(f"Judge it:  fsb replay run {out}")
    else:
        _print("No image is in it, so there is nothing for fsb replay run to judge.")
    if state.lost or state.full:
        raise typer.Exit(1)


@contextlib.contextmanager
def _display() -> Iterator[Callable[[RecordState], None]]:
    """Show the state: as a live table in a terminal, else as a line now and then."""
    shown = 0.0
    live = Live(console=_CONSOLE, auto_refresh=False, transient=True)
    every = _LIVE_EVERY if _CONSOLE.is_terminal else _PLAIN_EVERY

    def show(state: RecordState) -> None:
        nonlocal shown
        if state.seconds - shown < every:
            return
        shown = state.seconds
        if _CONSOLE.is_terminal:
            live.update(_table(state), refresh=True)
        else:
            _print(_line(state))

    with live if _CONSOLE.is_terminal else contextlib.nullcontext():
        yield show


def _table(state: RecordState) -> Table:
    table = Table("topic", "type", box=None, caption=_line(state))
    for name in ("messages", "MB", "a second", "lost"):
        table.add_column(name, justify="right")
    for topic, kind in sorted(state.kinds.items()):
        count, lost = state.messages[topic], state.lost[topic]
        table.add_row(
            escape(topic),
            kind.rpartition("/")[2],
            f"{count:,}",
            f"{state.bytes[topic] / _MEGABYTE:,.1f}",
            f"{count / max(state.seconds, 1e-9):.1f}",
            f"[bold red]{lost:,}[/]" if lost else "-",
        )
    return table


def _line(state: RecordState) -> str:
    lost = f", {state.lost.total():,} lost" if state.lost else ""
    size = sum(state.bytes.values()) / _MEGABYTE
    return f"{state.seconds:.1f} s, {state.messages.total():,} messages, {size:,.1f} MB{lost}"


def _print(text: str) -> None:
    _CONSOLE.print(text, markup=False)
