"""``labels.csv`` beside photographs: who is on which, and what is true of them.

    file,identity,gender,age_group,emotion
    ada/smile.jpg,,,,happiness
    ,ada,female,20-29,

A line with a file is of that photograph, one with an identity alone of all of that person; any
column may be missing. A file with an identity is of that person, wherever it lies.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.truth.statements import check_labels
from fsb_perception.tasks import TASKS

LABELS = "labels.csv"
_OWN = ("file", "identity")


@dataclass
class PhotoLabels:
    """What a table says.

    Attributes:
        identities: person by file.
        of_file, of_person: true labels by task.
    """

    identities: dict[str, str] = field(default_factory=dict)
    of_file: dict[str, dict[str, str]] = field(default_factory=dict)
    of_person: dict[str, dict[str, str]] = field(default_factory=dict)

    def attributes(self, file: str, person: str) -> dict[str, str]:
        """Of a photograph of a person: the file's own over the person's."""
        return self.of_person.get(person, {}) | self.of_file.get(file, {})


def read_labels(folder: Path) -> PhotoLabels:
    """The labels of a folder of photographs; none where it has no such table.

    Raises:
        BagError: a line that says nothing that can be.
    """
    path, labels = folder / LABELS, PhotoLabels()
    if not path.is_file():
        return labels
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write a mark
            reader = csv.DictReader(file)
            _check_columns(path, reader.fieldnames or ())
            for row in reader:
                _take(labels, folder, f"{path}:{reader.line_num}", row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BagError(f"{path} cannot be read: {error}") from error
    return labels


def _check_columns(path: Path, names: Sequence[str]) -> None:
    known = (*_OWN, *TASKS)
    for name in names:
        if name not in known:
            raise BagError(f"{path}: unknown column {name!r}; known are {', '.join(known)}")


def _take(labels: PhotoLabels, folder: Path, where: str, row: dict[str, str]) -> None:
    if None in row:
        raise BagError(f"{where}: more values than columns")
    said = {name: value.strip() for name, value in row.items() if value and value.strip()}
    file, identity = said.pop("file", ""), said.pop("identity", "")
    try:
        check_labels(said)
    except ValueError as error:
        raise BagError(f"{where}: {error}") from None
    if file:
        file = _inside(folder, file, where)
        if file in labels.of_file:
            raise BagError(f"{where}: {file} has a line already")
        labels.of_file[file] = said
        labels.identities |= {file: identity} if identity else {}
    elif identity:
        labels.of_person[identity] = labels.of_person.get(identity, {}) | said
    elif said:
        raise BagError(f"{where}: say of which file or identity this is")


def _inside(folder: Path, file: str, where: str) -> str:
    """The file's name as it is found in the folder."""
    name = Path(file).as_posix()
    if not (folder / name).is_file():
        raise BagError(f"{where}: there is no file {file} in {folder}")
    return name
