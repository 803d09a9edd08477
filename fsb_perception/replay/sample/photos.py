"""People for a sample from one's own photographs.

FOLDER/ada/calm.jpg  smile.jpg     ada, with two photographs, shown one after the other
FOLDER/bob.jpg                     bob, with one
FOLDER/labels.csv                  what is true of them, see `photo_labels`

photograph -> detector -> its largest face -> crop around it, at one size for all
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fsb_perception.detection import build_detector
from fsb_perception.detection.base import Detector, DetectorConfig
from fsb_perception.images.decoding import KNOWN, SUFFIXES, PictureError
from fsb_perception.images.files import read_picture
from fsb_perception.problems import Problems, lines
from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.sample.people import Person
from fsb_perception.replay.sample.photo_labels import LABELS, PhotoLabels, read_labels
from fsb_perception.samples.roles import MOST
from fsb_perception.samples.sprites import FEATHER, Portrait
from fsb_perception.types import Floats, Image

MOST_PHOTOS = 8  # of a person: more would each be seen too shortly
_FACE = 150.0  # px: width of the face in a portrait
_AROUND = (0.5, 0.55, 0.5, 0.45)  # of the face's sides: left, top, right, bottom
_CLOSE = 0.4  # of a picture's sides: added around one that shows nothing but a face
_FIXED = ("gender", "age_group")  # of a person; emotions come and go


def read_people(folder: Path) -> tuple[list[Person], Problems]:
    """The first `MOST` people of a folder whose faces are found.

    Args:
        folder: as the top of this file shows it.

    Returns:
        They, by name; and what was left out.

    Raises:
        BagError: no such folder, nobody in it, or labels that cannot be.
        DetectorError: the detector's model is missing.
    """
    if not folder.is_dir():
        raise BagError(f"{folder}: there is no such folder of photographs")
    labels, problems = read_labels(folder), Problems()
    photos = _by_person(folder, labels)
    if not photos:
        raise BagError(f"{folder}: no photograph in it or in its folders ({KNOWN})")
    if unknown := sorted(set(labels.of_person) - set(photos)):
        raise BagError(f"{folder / LABELS}: nobody is called {unknown[0]}: {', '.join(photos)}")
    detector, people = build_detector(DetectorConfig()), list[Person]()
    for number, (name, files) in enumerate(photos.items()):
        if len(people) == MOST:
            where = f"{name}: a clip has parts for {MOST}"
            problems.note("people left out", where, len(photos) - number)
            break
        people += _person(folder, name, files, labels, detector, problems)
    if not people:
        said = "; ".join(lines(problems.as_json()))
        raise BagError(f"{folder}: a face was found in none of its photographs: {said}")
    return people, problems


def _by_person(folder: Path, labels: PhotoLabels) -> dict[str, list[str]]:
    """The photographs of each, by name: paths within the folder."""
    single = _pictures(folder)
    stems = Counter(path.stem for path in single)
    named = [(p, p.stem if stems[p.stem] == 1 else p.name) for p in single]
    for inner in sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."):
        named += [(path, inner.name) for path in _pictures(inner)]
    photos: dict[str, list[str]] = defaultdict(list)
    for path, name in named:
        file = path.relative_to(folder).as_posix()
        photos[labels.identities.get(file, name)].append(file)
    return dict(sorted(photos.items()))


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())


def _person(
    folder: Path,
    name: str,
    files: Sequence[str],
    labels: PhotoLabels,
    detector: Detector,
    problems: Problems,
) -> list[Person]:
    """Somebody, or nobody if no photograph shows a face."""
    found: list[tuple[Portrait, dict[str, str]]] = []
    for number, file in enumerate(files):
        if len(found) == MOST_PHOTOS:
            where = f"{file}: {MOST_PHOTOS} of {name} are enough"
            problems.note("photographs left out", where, len(files) - number)
            break
        if portrait := _read(folder, file, detector, problems):
            found.append((portrait, labels.attributes(file, name)))
    if not found:
        return []
    portraits, attributes = zip(*found, strict=True)
    _check_fixed(folder, name, attributes)
    return [Person(name, portraits, attributes)]


def _check_fixed(folder: Path, name: str, attributes: Sequence[dict[str, str]]) -> None:
    for task in _FIXED:
        labels = sorted({said[task] for said in attributes if task in said})
        if len(labels) > 1:
            raise BagError(f"{folder}: {name} has more than one {task}: {', '.join(labels)}")


def _read(folder: Path, file: str, detector: Detector, problems: Problems) -> Portrait | None:
    try:
        image = read_picture(folder / file)
    except PictureError as error:
        problems.note("photographs that cannot be read", str(error))
        return None
    portrait = portrait_of(image, detector)
    if portrait is None:
        problems.note("photographs without a face", file)
    return portrait


def portrait_of(image: Image, detector: Detector) -> Portrait | None:
    """The largest face of a photograph (uint8 BGR) and what is around it; None without one."""
    box = _largest(image, detector)
    if box is None:  # some pictures are nothing but a face, in which detectors see none
        image = _pad(image, *(round(_CLOSE * side) for side in image.shape[:2]))
        box = _largest(image, detector)
    return None if box is None else _crop(image, box)


def _largest(image: Image, detector: Detector) -> Floats | None:
    boxes = [face.box_xyxy for face in detector.detect(image)]
    return max(boxes, key=lambda box: float(np.prod(box[2:] - box[:2])), default=None)


def _crop(image: Image, box: Floats) -> Portrait:
    sides = np.tile(box[2:] - box[:2], 2)
    outer = box + np.array([-1, -1, 1, 1]) * _AROUND * sides
    limits = np.tile(image.shape[1::-1], 2)
    left, top, right, bottom = np.clip(np.round(outer), 0, limits).astype(int).tolist()
    crop, scale = image[top:bottom, left:right], _FACE / float(sides[0])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = tuple(max(1, round(side * scale)) for side in crop.shape[1::-1])
    scaled = np.asarray(cv2.resize(crop, size, interpolation=way), np.uint8)
    exact = [
        new / old for new, old in zip(size, crop.shape[1::-1], strict=True)
    ]  # whole pixels are not quite the scale
    x, y, width, height = (float(v) for v in np.append(box[:2] - (left, top), sides[:2]))
    face = (x * exact[0] + FEATHER, y * exact[1] + FEATHER, width * exact[0], height * exact[1])
    return Portrait(_pad(scaled, FEATHER, FEATHER), face)


def _pad(image: Image, down: int, across: int) -> Image:
    padded = cv2.copyMakeBorder(image, down, down, across, across, cv2.BORDER_REPLICATE)
    return np.asarray(padded, np.uint8)
