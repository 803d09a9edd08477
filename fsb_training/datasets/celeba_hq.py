"""CelebA-HQ with the attributes of CelebAMask-HQ (Lee et al., CVPR 2020): gender of 30,000 faces.

    CelebAMask-HQ/CelebAMask-HQ-attribute-anno.txt    count; 40 names; "0.jpg  -1 1 ..." a picture
    CelebAMask-HQ/CelebA-HQ-to-CelebA-mapping.txt     idx orig_idx orig_file
    CelebAMask-HQ/CelebA-HQ-img/0.jpg

(the folder may also be called CelebA-HQ). Gender is the column Male. "Young" is no age group and
"Smiling" no emotion, so neither is read. The parts are CelebA's own: a picture belongs to the part
of the CelebA picture that it was made from. Part "all" needs no mapping.

The published pictures show the head with its surroundings, 1024 x 1024 px, rotated upright by eyes
and mouth. They are no face crops, so the face is detected as in any photograph.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fsb_perception.problems import Problems
from fsb_training.datasets.faceset import DatasetError, FaceSet
from fsb_training.datasets.labels import label_column
from fsb_training.datasets.tables import data_folder, known_label, read_words

# CelebA's partition is by the number of the picture; these are the last ones of train and val.
_LAST_TRAIN, _LAST_VAL, _LAST = 162_770, 182_637, 202_599
_ATTRIBUTES = 40
_MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
_GENDERS = {"1": "male", "-1": "female"}


class CelebAHQ:
    """Loader of CelebA-HQ."""

    licence = "non-commercial research and education"
    parts: tuple[str, ...] = ("train", "val", "test", "all")
    training_parts: tuple[str, ...] = ("train", "val")

    def load(self, root: Path, part: str) -> FaceSet:
        """Load the faces of ``part``; a listed picture that is absent is counted as a problem."""
        folder = data_folder(root, "CelebA-HQ", "CelebAMask-HQ")
        known = {} if part == "all" else _parts(folder / _MAPPING)
        files, genders, problems = [], [], Problems()
        for where, name, gender in _genders(folder / "CelebAMask-HQ-attribute-anno.txt"):
            if part != "all" and name not in known:
                problems.note(f"not in {_MAPPING}", where)
            elif part in ("all", known.get(name)):
                if not (folder / "CelebA-HQ-img" / name).is_file():
                    problems.note("picture is not there", where)
                    continue
                files.append(f"CelebA-HQ-img/{name}")
                genders.append(gender)
        return FaceSet(
            name="CelebA-HQ",
            part=part,
            root=folder,
            files=tuple(files),
            labels={"gender": label_column("gender", genders)},
            problems=problems,
        )


def _genders(table: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (path and line, picture, gender) of every row."""
    lines = list(read_words(table))
    if len(lines) < 2 or len(lines[0][1]) != 1 or not lines[0][1][0].isdecimal():
        raise DatasetError(f"{table}:1: the first line must be the number of pictures")
    names = lines[1][1]
    if len(names) != _ATTRIBUTES or "Male" not in names:
        raise DatasetError(f"{table}:2: {len(names)} names, expected CelebA's 40 with Male")
    if len(lines) - 2 != int(lines[0][1][0]):
        raise DatasetError(
            f"{table}:1: {lines[0][1][0]} pictures are announced, but {len(lines) - 2} follow"
        )
    male = names.index("Male")
    for where, (picture, *values) in lines[2:]:
        if len(values) != _ATTRIBUTES:
            raise DatasetError(f"{where}: {len(values)} attributes, but the header has 40")
        yield where, picture, known_label(values[male], _GENDERS, where)


def originals(folder: Path) -> dict[str, str]:
    """Return the picture of CelebA that each picture was made from, for instance 000001.jpg.

    Args:
        folder: of CelebA-HQ.
    """
    return {name: f"{number:06}.jpg" for name, number in _numbers(folder / _MAPPING).items()}


def _parts(table: Path) -> dict[str, str]:
    """Return the part of each picture."""
    return {name: _part(number) for name, number in _numbers(table).items()}


def _numbers(table: Path) -> dict[str, int]:
    """Return CelebA's number of each picture."""
    rows = read_words(table)
    _, header = next(rows, ("", []))
    if header != ["idx", "orig_idx", "orig_file"]:
        raise DatasetError(f"{table}:1: header {' '.join(header)!r} is not idx orig_idx orig_file")
    return {f"{words[0]}.jpg": _number(words, where) for where, words in rows}


def _number(words: list[str], where: str) -> int:
    number = words[2].removesuffix(".jpg") if len(words) == 3 else ""
    if not number.isdecimal() or not 1 <= int(number) <= _LAST:
        raise DatasetError(f"{where}: {' '.join(words)!r} does not end in a picture of CelebA")
    return int(number)


def _part(number: int) -> str:
    if number <= _LAST_TRAIN:
        return "train"
    return "val" if number <= _LAST_VAL else "test"
