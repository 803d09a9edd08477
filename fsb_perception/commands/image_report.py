"""What ``fsb image`` reports: a table, a line for each picture, notes on limits, JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fsb_perception.errors import visible

if TYPE_CHECKING:
    from fsb_perception.config import PerceptionConfig
    from fsb_perception.types import AttributeEstimate, FaceAttributes


@dataclass(frozen=True)
class Result:
    """One picture: its faces, and the error that prevented them or their drawing.

    Attributes:
        path: of the picture.
        width: in pixels; 0 where it could not be read.
        height: in pixels, likewise.
        faces: in it.
        annotated: the file with the faces drawn, if it was written.
        error: one line; empty without one.
    """

    path: Path
    width: int = 0
    height: int = 0
    faces: tuple[FaceAttributes, ...] = ()
    annotated: Path | None = None
    error: str = ""

    @property
    def is_read(self) -> bool:
        """True if its faces are known."""
        return self.width > 0


def print_results(results: Sequence[Result], console: Console) -> None:
    """Print a table of the faces, and where each picture was written or why not."""
    read = [result for result in results if result.is_read]
    if read:
        console.print(_table(read))
    for result in results:
        if result.annotated is not None:
            line = f"Annotated: {_safe(_shown(result.annotated))}"
        else:
            line = f"[bold red]Failed:[/] {_safe(result.error)}"
        console.print(line, highlight=False, soft_wrap=True)


def print_notes(notes: Iterable[str], console: Console) -> None:
    """Print a line for each note."""
    for note in notes:
        line = f"[yellow]Note:[/] {_safe(note)}"
        console.print(line, highlight=False, soft_wrap=True)


def reached_limits(results: Sequence[Result], config: PerceptionConfig) -> Iterator[str]:
    """Yield a sentence for each limit that a picture has reached."""
    name, most = min(
        ("detector.max_faces", config.detector.max_faces),
        ("tracker.max_faces", config.tracker.max_faces),
        key=lambda limit: limit[1],
    )
    full = [result for result in results if len(result.faces) >= most]
    if full:
        yield (
            f"{len(full)} with as many faces as {name} allows ({most}), so that some may be "
            f"missing, for instance {full[0].path}; --set {name}={2 * most} finds more"
        )
    side = config.detector.max_side
    large = [result for result in results if max(result.width, result.height) > side]
    if large:
        yield (
            f"{len(large)} searched for faces in a copy shrunk to {side} px (detector.max_side), "
            f"for instance {large[0].path}; small faces need a larger one"
        )


def write_json(path: Path, results: Sequence[Result]) -> None:
    """Write all results as JSON; missing folders are made.

    Raises:
        FileError: the file cannot be written; an earlier one stays as it was.
    """
    from fsb_perception.files import write_whole

    text = json.dumps([_as_json(result) for result in results], indent=2, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text + "\n")


def _table(results: Sequence[Result]) -> Table:
    from fsb_perception.field_kinds import flag_names

    tasks = next((face.estimates for result in results for face in result.faces), ())
    table = Table()
    table.add_column("picture", overflow="fold")
    table.add_column("face", no_wrap=True)
    for estimate in tasks:
        table.add_column(estimate.task.replace("_", " "))
    table.add_column("quality", justify="right")
    table.add_column("flags")
    for result in results:
        name = _safe(result.path.name)
        if not result.faces:
            table.add_row(name, "[dim]none[/]")
        for number, face in enumerate(result.faces):
            cells = [_cell(estimate) for estimate in face.estimates]
            quality = f"{face.quality.score:.2f}"
            table.add_row(
                "" if number else name,
                face.face_id,
                *cells,
                quality,
                " ".join(flag_names(face.quality.flags)),
            )
        table.add_section()
    return table


def _safe(text: str) -> str:
    """Return a text that may hold anything, as rich and a terminal show it."""
    return escape(visible(text_of(text)))


def _shown(path: Path) -> str:
    inside = path.is_relative_to(Path.cwd())
    return text_of(path.relative_to(Path.cwd()) if inside else path)


def _cell(estimate: AttributeEstimate) -> str:
    if not estimate.looks:
        return "[dim]not read[/]"
    style = "dim" if estimate.label == "unknown" else "bold"
    return f"[{style}]{estimate.label}[/] {estimate.confidence:.0%}"


def _as_json(result: Result) -> dict[str, object]:
    from fsb_perception.codec import to_picture_json

    error = {"error": text_of(result.error)} if result.error else {}
    if not result.is_read:
        return {"file": text_of(result.path), **error}
    return {
        "file": text_of(result.path),
        "width": result.width,
        "height": result.height,
        "annotated": text_of(result.annotated or ""),
        "faces": [to_picture_json(face) for face in result.faces],
        **error,
    }


def text_of(path: Path | str) -> str:
    """Return the text of a path; bytes that are not UTF-8 become hexadecimal escapes."""
    return os.fsencode(path).decode(errors="backslashreplace")
