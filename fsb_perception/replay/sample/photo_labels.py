"""``labels.csv`` beside photographs: the person on each, and what is true of them.

    file,identity,gender,age_group,emotion
    ada/smile.jpg,,,,happiness
    ,ada,female,20-29,

A line with a file is about that photograph, one with an identity alone about all photographs of
that person; any column may be missing. A line with both says that the photograph shows that person,
wherever the file lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fsb_perception.replay.truth.statements import TruthError, check_labels, errors_at
from fsb_perception.replay.truth.tables import read_csv
from fsb_perception.tasks import TASKS

LABELS = "labels.csv"


@dataclass
class PhotoLabels:
    """The content of a table of labels.

    Attributes:
        identities: person by file.
        by_file: true labels of a file by task.
        by_person: true labels of a person by task.

    >>> labels = PhotoLabels(by_person={"ada": {"gender": "female"}})
    >>> labels.by_file["ada/smile.jpg"] = {"emotion": "happiness"}
    >>> labels.attributes("ada/smile.jpg", "ada")
    {'gender': 'female', 'emotion': 'happiness'}
    """

    identities: dict[str, str] = field(default_factory=dict)
    by_file: dict[str, dict[str, str]] = field(default_factory=dict)
    by_person: dict[str, dict[str, str]] = field(default_factory=dict)

    def attributes(self, file: str, person: str) -> dict[str, str]:
        """Return the labels of a photograph of a person; the file's own go before the person's."""
        return self.by_person.get(person, {}) | self.by_file.get(file, {})


def read_labels(folder: Path) -> PhotoLabels:
    """Read the labels of a folder of photographs; they are empty if it has no such table.

    Raises:
        TruthError: a line that cannot be true, or that names no file and no person.
    """
    path, labels = folder / LABELS, PhotoLabels()
    if path.is_file():
        for place, row in read_csv(path, ("file", "identity", *TASKS)):
            with errors_at(place):
                _add(labels, folder, row)
    return labels


def _add(labels: PhotoLabels, folder: Path, row: Mapping[str, str]) -> None:
    attributes = {name: value for name, value in row.items() if name not in ("file", "identity")}
    check_labels(attributes)
    identity = row.get("identity", "")
    if "file" in row:
        _add_file(labels, folder, row["file"], identity, attributes)
    elif identity:
        known = labels.by_person.setdefault(identity, {})
        for task, label in attributes.items():
            if known.setdefault(task, label) != label:
                raise TruthError(f"{identity} is {known[task]!r} in an earlier line, not {label!r}")
    else:
        raise TruthError("it names neither a file nor an identity: add one of them")


def _add_file(
    labels: PhotoLabels, folder: Path, file: str, identity: str, attributes: dict[str, str]
) -> None:
    name = Path(file).as_posix()  # as it is found in the folder
    if not (folder / name).is_file():
        raise TruthError(f"there is no file {file} in {folder}")
    if name in labels.by_file:
        raise TruthError(f"{name} has a line already")
    labels.by_file[name] = attributes
    if identity:
        labels.identities[name] = identity
