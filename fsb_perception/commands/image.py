"""``fsb image``: the faces in pictures, as a table, as annotated pictures and as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fsb_perception.command_options import BundleOption, DeviceOption, SettingsOption
from fsb_perception.errors import FsbError, error_line

if TYPE_CHECKING:
    from fsb_perception.pipeline import FacePipeline
    from fsb_perception.types import AttributeEstimate, FaceAttributes

_ENDING = "_fsb.jpg"  # of the annotated pictures
_STAMP = 1  # ns: a picture has no time; 0 would mean that the stamp is missing

# A picture is not in a hurry: small faces in a large one are looked for too.
_PICTURE_DEFAULTS = {"detector.max_side": 1280, "detector.max_faces": 64, "tracker.max_faces": 64}


@dataclass(frozen=True)
class _Result:
    """One picture: its faces, or the error that prevented them."""

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
        Path | None, typer.Option("--json", help="write every result to this file as JSON")
    ] = None,
    bundle: BundleOption = "nano",
    device: DeviceOption = "auto",
    settings: SettingsOption = None,
) -> None:
    """Estimate gender, age group and emotion of the faces in pictures, and draw them.

    The picture itself is never changed. Status 1 if any could not be read.
    """
    console = Console()
    pipelines = _pipelines(bundle, device, settings or ())
    results = list(_results(photos, out, pipelines, console))
    _print(results, console)
    if json_file is not None:
        _write_json(json_file, results)
    if any(result.error for result in results):
        raise typer.Exit(1)


def _pipelines(bundle: str, device: str, settings: Sequence[str]) -> Iterator[FacePipeline]:
    """Yield a new pipeline for every picture, all over one engine and one detector."""
    from fsb_perception.bundles.bundle import load_bundle
    from fsb_perception.config import PerceptionConfig
    from fsb_perception.detection import build_detector
    from fsb_perception.inference.engine import Engine
    from fsb_perception.options import build, parse_settings
    from fsb_perception.pipeline import FacePipeline

    named = {"bundle": bundle, "engine.device": device}
    config = build(PerceptionConfig, _PICTURE_DEFAULTS | named | parse_settings(settings))
    loaded = load_bundle(config.bundle, digest=config.bundle_digest)
    engine = Engine(loaded, config.engine)
    detector = build_detector(config.detector)
    while True:
        yield FacePipeline(config, engine, detector)


def _results(
    photos: Sequence[Path], out: Path, pipelines: Iterator[FacePipeline], console: Console
) -> Iterator[_Result]:
    paths: list[Path] = []
    for photo in photos:
        files, failed = _files(photo)
        paths += files
        yield from failed
    # A file that is there already under these names is a source, or was written in this run.
    taken = {path.resolve() for path in paths}
    with console.status("Loading the weights") as status:
        for path in paths:
            status.update(f"Looking at {escape(_text(path.name))}")
            result = _process(path, out, next(pipelines), taken)
            if result.annotated is not None:
                taken.add(result.annotated)
            yield result


def _files(photo: Path) -> tuple[list[Path], list[_Result]]:
    """Return the picture files of an argument, or else the result of its failure."""
    from fsb_perception.images.files import find_pictures

    try:
        return find_pictures(photo, ignored_ending=_ENDING), []
    except (FsbError, OSError) as error:
        return [], [_Result(photo, error=error_line(error))]


def _process(path: Path, out: Path, pipeline: FacePipeline, taken: set[Path]) -> _Result:
    from fsb_perception.images.annotate import annotate
    from fsb_perception.images.files import read_picture, unused_name, write_picture

    try:
        _check_name(path)
        image = read_picture(path)
        faces = tuple(pipeline.process(image, _STAMP))
        target = unused_name((out / f"{path.stem}{_ENDING}").resolve(), taken)
        write_picture(target, annotate(image, faces))
    except (FsbError, OSError) as error:
        return _Result(path, error=error_line(error))
    height, width = image.shape[:2]
    return _Result(path, width, height, faces, target)


def _check_name(path: Path) -> None:
    """Refuse a name that neither a terminal nor JSON can hold."""
    if _text(path) != str(path):
        raise FsbError(f"{_text(path)}: the name is not UTF-8; rename the file")


def _text(path: Path | str) -> str:
    """Return the text of a path; bytes that are not UTF-8 become hexadecimal escapes."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _print(results: Sequence[_Result], console: Console) -> None:
    read = [result for result in results if not result.error]
    if read:
        console.print(_table(read))
    for result in results:
        if result.annotated is not None:
            line = f"Annotated: {escape(_shown(result.annotated))}"
        else:
            line = f"[bold red]Failed:[/] {escape(_text(result.error))}"
        console.print(line, highlight=False, soft_wrap=True)


def _write_json(path: Path, results: Sequence[_Result]) -> None:
    from fsb_perception.files import write_whole

    text = json.dumps([_as_json(result) for result in results], indent=2, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text + "\n")


def _table(results: Sequence[_Result]) -> Table:
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
        name = escape(result.path.name)
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


def _shown(path: Path) -> str:
    inside = path.is_relative_to(Path.cwd())
    return _text(path.relative_to(Path.cwd()) if inside else path)


def _cell(estimate: AttributeEstimate) -> str:
    if not estimate.looks:
        return "[dim]not read[/]"
    style = "dim" if estimate.label == "unknown" else "bold"
    return f"[{style}]{estimate.label}[/] {estimate.confidence:.0%}"


def _as_json(result: _Result) -> dict[str, object]:
    from fsb_perception.codec import to_picture_json

    if result.error:
        return {"file": _text(result.path), "error": _text(result.error)}
    return {
        "file": str(result.path),
        "width": result.width,
        "height": result.height,
        "annotated": _text(result.annotated or ""),
        "faces": [to_picture_json(face) for face in result.faces],
    }
