"""``fsb image``: the faces in pictures, as a table, as annotated pictures and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from fsb_perception.pipeline import FacePipeline
    from fsb_perception.types import AttributeEstimate, FaceAttributes

_ENDING = "_fsb.jpg"  # of the annotated pictures
_STAMP = 1  # ns: a picture has no time; 0 would mean that the stamp is missing

# A picture is not in a hurry: small faces in a large one are looked for too.
_PICTURE_DEFAULTS = {"detector.max_side": 1280, "detector.max_faces": 64, "tracker.max_faces": 64}


@dataclass(frozen=True)
class _Seen:
    """One picture: its faces, or why there are none to speak of."""

    path: Path
    width: int = 0
    height: int = 0
    faces: tuple[FaceAttributes, ...] = ()
    annotated: Path | None = None
    error: str = ""


def image(
    photos: Annotated[
        list[Path],
        typer.Argument(metavar="PHOTO...", help="picture files, or folders of them"),
    ],
    out: Annotated[
        Path, typer.Option(help="folder for the annotated pictures, NAME_fsb.jpg")
    ] = Path(),
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write everything known as JSON")
    ] = None,
    bundle: Annotated[
        str, typer.Option(help="weight bundle: a name, a folder, or OWNER/NAME of a pulled one")
    ] = "nano",
    device: Annotated[str, typer.Option(help="where to compute: auto, cuda or cpu")] = "auto",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="any option, as detector.max_side=2000"),
    ] = None,
) -> None:
    """Name gender, age group and emotion of the faces in pictures, and draw them.

    The picture itself is never changed. Status 1 if any could not be read.
    """
    console = Console()
    pipelines = _pipelines(bundle, device, settings or ())
    seen = list(_look_at_all(photos, out, pipelines, console))
    _print(seen, console)
    if json_file is not None:
        _write_json(json_file, seen)
    if any(picture.error for picture in seen):
        raise typer.Exit(1)


def _pipelines(bundle: str, device: str, settings: Sequence[str]) -> Iterator[FacePipeline]:
    """A new pipeline for every picture, all over one engine and one detector."""
    from fsb_perception.bundles.bundle import load_bundle
    from fsb_perception.config import PerceptionConfig
    from fsb_perception.detection import build_detector
    from fsb_perception.inference.engine import Engine
    from fsb_perception.options import build, parse_settings
    from fsb_perception.pipeline import FacePipeline

    named = {"bundle": bundle, "engine.device": device}
    config = build(PerceptionConfig, _PICTURE_DEFAULTS | named | parse_settings(settings))
    engine = Engine(load_bundle(config.bundle), config.engine)
    detector = build_detector(config.detector)
    while True:
        yield FacePipeline(config, engine, detector)


def _look_at_all(
    photos: Sequence[Path], out: Path, pipelines: Iterator[FacePipeline], console: Console
) -> Iterator[_Seen]:
    found: list[Path] = []
    for photo in photos:
        files, error = _expand(photo)
        found += files
        if error:
            yield _Seen(photo, error=error)
    # What is already there under these names is a source, or written in this run.
    taken = {path.resolve() for path in found}
    with console.status("Loading the weights") as status:
        for path in found:
            status.update(f"Looking at {escape(path.name)}")
            picture = _look_at(path, out, next(pipelines), taken)
            if picture.annotated is not None:
                taken.add(picture.annotated)
            yield picture


def _expand(photo: Path) -> tuple[list[Path], str]:
    from fsb_perception.images.files import PictureError, find_pictures

    try:
        return find_pictures(photo, ignored_ending=_ENDING), ""
    except PictureError as error:
        return [], str(error)


def _look_at(path: Path, out: Path, pipeline: FacePipeline, taken: set[Path]) -> _Seen:
    from fsb_perception.images.annotate import annotate
    from fsb_perception.images.files import PictureError, read_picture, unused_name, write_picture

    try:
        image = read_picture(path)
        faces = tuple(pipeline.process(image, _STAMP))
        target = unused_name((out / f"{path.stem}{_ENDING}").resolve(), taken)
        write_picture(target, annotate(image, faces))
    except PictureError as error:
        return _Seen(path, error=str(error))
    height, width = image.shape[:2]
    return _Seen(path, width, height, faces, target)


def _print(seen: Sequence[_Seen], console: Console) -> None:
    read = [picture for picture in seen if not picture.error]
    if read:
        console.print(_table(read))
    for picture in seen:
        if picture.annotated is not None:
            line = f"Annotated: {escape(_shown(picture.annotated))}"
        else:
            line = f"[bold red]Failed:[/] {escape(picture.error)}"
        console.print(line, highlight=False, soft_wrap=True)


def _write_json(path: Path, seen: Sequence[_Seen]) -> None:
    from fsb_perception.images.files import PictureError

    text = json.dumps([_as_json(picture) for picture in seen], indent=2, ensure_ascii=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise PictureError(f"{path}: cannot be written: {error.strerror or error}") from error


def _table(seen: Sequence[_Seen]) -> Table:
    from fsb_perception.field_kinds import flag_names

    tasks = next((face.estimates for picture in seen for face in picture.faces), ())
    table = Table()
    table.add_column("picture", overflow="fold")
    table.add_column("face", no_wrap=True)
    for estimate in tasks:
        table.add_column(estimate.task.replace("_", " "))
    table.add_column("quality", justify="right")
    table.add_column("flags")
    for picture in seen:
        name = escape(picture.path.name)
        if not picture.faces:
            table.add_row(name, "[dim]none[/]")
        for number, face in enumerate(picture.faces):
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


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _cell(estimate: AttributeEstimate) -> str:
    if not estimate.looks:
        return "[dim]not read[/]"
    style = "dim" if estimate.label == "unknown" else "bold"
    return f"[{style}]{estimate.label}[/] {estimate.confidence:.0%}"


def _as_json(picture: _Seen) -> dict[str, Any]:
    from fsb_perception.codec import to_picture_json

    if picture.error:
        return {"file": str(picture.path), "error": picture.error}
    return {
        "file": str(picture.path),
        "width": picture.width,
        "height": picture.height,
        "annotated": str(picture.annotated),
        "faces": [to_picture_json(face) for face in picture.faces],
    }
