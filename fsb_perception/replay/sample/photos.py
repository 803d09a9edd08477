"""People for a sample from one's own photographs.

    FOLDER/ada/calm.jpg  smile.jpg     ada, with two photographs, shown one after the other
    FOLDER/bob.jpg                     bob, with one
    FOLDER/labels.csv                  the truth about them, see `photo_labels`

Each photograph gives the largest face that the detector finds, cut out with its surroundings at one
size for all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from fsb_perception.detection import build_detector
from fsb_perception.detection.base import Detector, DetectorConfig
from fsb_perception.images.files import is_picture, read_picture
from fsb_perception.images.headers import KNOWN, PictureError
from fsb_perception.problems import Problems, lines
from fsb_perception.registry import UnknownNameError
from fsb_perception.replay.sample.people import Person, SampleError
from fsb_perception.replay.sample.photo_labels import LABELS, PhotoLabels, read_labels
from fsb_perception.samples.roles import MOST
from fsb_perception.samples.sprites import FEATHER, Portrait
from fsb_perception.types import Floats, Image

MOST_PHOTOS = 8  # of a person: each of more would be seen for too short a time
_FACE = 150.0  # px: width of the face in a portrait
_AROUND = (0.5, 0.55, 0.5, 0.45)  # of the face's sides: left, top, right, bottom
_MARGIN = 0.4  # of a picture's sides: added around one that shows nothing but a face
_FIXED = ("gender", "age_group")  # the same on all photographs of a person


def read_people(folder: Path) -> tuple[list[Person], Problems]:
    """Read the first `MOST` people of a folder whose faces are found.

    Args:
        folder: laid out as the top of this module shows.

    Returns:
        The people, sorted by name; and a tally of the photographs and people left out.

    Raises:
        SampleError: no such folder, no face in it, or labels that contradict each other.
        TruthError: labels that cannot be used.
        DetectorError: the detector's model is missing.
    """
    if not folder.is_dir():
        raise SampleError(f"{folder}: there is no such folder of photographs; check the path")
    labels = read_labels(folder)
    photos = _by_person(folder, labels)
    if not photos:
        raise SampleError(f"{folder}: no photograph in it or in its folders ({KNOWN})")
    if unknown := sorted(set(labels.by_person) - set(photos)):
        raise SampleError(f"{folder / LABELS}: {UnknownNameError('person', unknown[0], photos)}")
    reader = _Reader(folder, labels)
    people = reader.people(photos)
    if not people:
        reasons = "; ".join(lines(reader.problems.as_json()))
        raise SampleError(f"{folder}: a face was found in none of its photographs: {reasons}")
    return people, reader.problems


def _by_person(folder: Path, labels: PhotoLabels) -> dict[str, list[str]]:
    """Return the photographs of each person by name, as paths within the folder."""
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
    return sorted(filter(is_picture, folder.iterdir()))


class _Reader:
    """Reads the people of a folder, and counts the photographs that are of no use."""

    def __init__(self, folder: Path, labels: PhotoLabels) -> None:
        self._folder, self._labels = folder, labels
        self._detector = build_detector(DetectorConfig())
        self.problems = Problems()

    def people(self, photos: Mapping[str, Sequence[str]]) -> list[Person]:
        people: list[Person] = []
        for number, (name, files) in enumerate(photos.items()):
            if len(people) == MOST:
                place = f"{name}: a clip has parts for {MOST}"
                self.problems.note("people left out", place, len(photos) - number)
                break
            if person := self._person(name, files):
                people.append(person)
        return people

    def _person(self, name: str, files: Sequence[str]) -> Person | None:
        portraits: list[Portrait] = []
        attributes: list[dict[str, str]] = []
        for number, file in enumerate(files):
            if len(portraits) == MOST_PHOTOS:
                place = f"{file}: {MOST_PHOTOS} of {name} are enough"
                self.problems.note("photographs left out", place, len(files) - number)
                break
            if portrait := self._portrait(file):
                portraits.append(portrait)
                attributes.append(self._labels.attributes(file, name))
        self._check_fixed(name, attributes)
        return Person(name, tuple(portraits), tuple(attributes)) if portraits else None

    def _check_fixed(self, name: str, attributes: Sequence[Mapping[str, str]]) -> None:
        for task in _FIXED:
            labels = sorted({known[task] for known in attributes if task in known})
            if len(labels) > 1:
                raise SampleError(
                    f"{self._folder}: {name} has more than one {task}: {', '.join(labels)}"
                )

    def _portrait(self, file: str) -> Portrait | None:
        try:
            image = read_picture(self._folder / file)
        except PictureError as error:
            self.problems.note("photographs that cannot be read", str(error))
            return None
        portrait = portrait_of(image, self._detector)
        if portrait is None:
            self.problems.note("photographs without a face", file)
        return portrait


def portrait_of(image: Image, detector: Detector) -> Portrait | None:
    """Cut the largest face and its surroundings out of a photograph (uint8 BGR); None without."""
    box = _largest(image, detector)
    if box is None:  # some pictures are nothing but a face, in which detectors see none
        image = _pad(image, *(round(_MARGIN * side) for side in image.shape[:2]))
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
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = tuple(max(1, round(side * scale)) for side in crop.shape[1::-1])
    scaled = np.asarray(cv2.resize(crop, size, interpolation=method), np.uint8)
    # The sides are whole pixels, so that the scales differ a little from the one asked for.
    across, down = (new / old for new, old in zip(size, crop.shape[1::-1], strict=True))
    x, y, width, height = (float(v) for v in np.append(box[:2] - (left, top), sides[:2]))
    face = (x * across + FEATHER, y * down + FEATHER, width * across, height * down)
    return Portrait(_pad(scaled, FEATHER, FEATHER), face)


def _pad(image: Image, down: int, across: int) -> Image:
    padded = cv2.copyMakeBorder(image, down, down, across, across, cv2.BORDER_REPLICATE)
    return np.asarray(padded, np.uint8)
