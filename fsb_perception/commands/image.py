"""``fsb image``: the faces in pictures, as a table, as annotated pictures and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from fsb_perception.command_options import BundleOption, DeviceOption, SettingsOption
from fsb_perception.commands.image_report import (
    Result,
    print_notes,
    print_results,
    reached_limits,
    text_of,
    write_json,
)
from fsb_perception.errors import FsbError, error_line
from fsb_perception.problems import Problems

if TYPE_CHECKING:
    from fsb_perception.config import PerceptionConfig
    from fsb_perception.detection.base import DetectorConfig
    from fsb_perception.images.decoding import DecodingConfig
    from fsb_perception.pipeline import FacePipeline
    from fsb_perception.types import Face, Image

_ENDING = "_fsb.jpg"  # of the annotated pictures
_STAMP = 1  # ns: a picture has no time; 0 would mean that the stamp is missing

# A picture is not in a hurry: small faces in a large one are looked for too.
_PICTURE_DEFAULTS = {"detector.max_side": 1280, "detector.max_faces": 64, "tracker.max_faces": 64}


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

    The picture itself is never changed. Status 1 if any could not be read, or drawn.
    """
    console = Console()
    config = _config(bundle, device, settings or ())
    passed_over = Problems()
    paths, failed = _find(photos, passed_over)
    if json_file is not None:
        _check_json(json_file, paths)
    results = [*failed, *_results(paths, out, config, console)]
    print_results(results, console)
    print_notes([*passed_over.sentences(), *reached_limits(results, config)], console)
    if json_file is not None:
        write_json(json_file, results)
    if any(result.error for result in results):
        raise typer.Exit(1)


def _config(bundle: str, device: str, settings: Sequence[str]) -> PerceptionConfig:
    from fsb_perception.config import PerceptionConfig
    from fsb_perception.images.headers import FORMATS
    from fsb_perception.options import build, parse_settings

    named = {"bundle": bundle, "engine.device": device, "decoding.formats": tuple(FORMATS)}
    return build(PerceptionConfig, _PICTURE_DEFAULTS | named | parse_settings(settings))


def _find(photos: Sequence[Path], passed_over: Problems) -> tuple[list[Path], list[Result]]:
    """Return the picture files of all arguments, and the results of those that fail."""
    from fsb_perception.images.files import find_pictures

    paths: list[Path] = []
    failed: list[Result] = []
    for photo in photos:
        with _noted(failed, photo):
            paths += find_pictures(photo, _ENDING, passed_over)
    return paths, failed


@contextmanager
def _noted(failed: list[Result], photo: Path) -> Iterator[None]:
    """Note an error that the user can mend as the result of a picture."""
    try:
        yield
    except (FsbError, OSError) as error:
        failed.append(Result(photo, error=error_line(error)))


def _check_json(path: Path, pictures: Sequence[Path]) -> None:
    """Refuse to write over a picture that is read."""
    if path.resolve() in {picture.resolve() for picture in pictures}:
        raise FsbError(f"--json {text_of(path)}: this is one of the pictures; name another file")


def _pipelines(config: PerceptionConfig) -> Iterator[FacePipeline]:
    """Yield a new pipeline for every picture, all over one engine and one detector."""
    from fsb_perception.bundles.bundle import load_bundle
    from fsb_perception.inference.engine import Engine
    from fsb_perception.pipeline import FacePipeline

    loaded = load_bundle(config.bundle, digest=config.bundle_digest)
    engine = Engine(loaded, config.engine)
    detector = _Detector(config.detector)
    while True:
        yield FacePipeline(config, engine, detector)


class _Detector:
    """A detector that looks again in a small copy where it sees no face: a close-up is too large.

    Args:
        config: of the detector; its ``max_side`` is for the first look.
    """

    def __init__(self, config: DetectorConfig) -> None:
        from fsb_perception.detection import build_detector
        from fsb_perception.detection.base import DetectorConfig

        sides = {config.max_side, min(config.max_side, DetectorConfig().max_side)}
        self._detectors = [
            build_detector(config.model_copy(update={"max_side": side}))
            for side in sorted(sides, reverse=True)
        ]

    def detect(self, image: Image) -> list[Face]:
        """Return the faces of a picture; see `fsb_perception.detection.base.Detector`."""
        looks = (detector.detect(image) for detector in self._detectors)
        return next(filter(None, looks), [])


def _results(
    paths: Sequence[Path], out: Path, config: PerceptionConfig, console: Console
) -> Iterator[Result]:
    # A file that is there already under these names is a source, or was written in this run.
    taken = {path.resolve() for path in paths}
    pipelines = _pipelines(config)
    with console.status("Loading the weights") as status:
        for path in paths:
            status.update(f"Looking at {escape(text_of(path.name))}")
            result = _process(path, out, next(pipelines), config.decoding, taken)
            if result.annotated is not None:
                taken.add(result.annotated)
            yield result


def _process(
    path: Path, out: Path, pipeline: FacePipeline, decoding: DecodingConfig, taken: set[Path]
) -> Result:
    from fsb_perception.images.annotate import annotate
    from fsb_perception.images.files import read_picture, unused_name, write_picture

    result = Result(path)
    try:
        _check_name(path)
        image = read_picture(path, decoding)
        height, width = image.shape[:2]
        faces = tuple(pipeline.process(image, _STAMP))
        result = Result(path, width, height, faces)
        target = unused_name((out / f"{path.stem}{_ENDING}").resolve(), taken)
        write_picture(target, annotate(image, faces))
    except (FsbError, OSError) as error:
        return replace(result, error=error_line(error))
    return replace(result, annotated=target)


def _check_name(path: Path) -> None:
    """Refuse a name that neither a terminal nor JSON can hold."""
    if text_of(path) != str(path):
        raise FsbError(f"{text_of(path)}: the name is not UTF-8; rename the file")
