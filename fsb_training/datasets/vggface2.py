"""VGGFace2, test part (Cao et al., FG 2018): gender of 500 people, 169,000 pictures; MIVIA's ages.

    VGGFace2/identity_meta.csv          Class_ID, Name, Sample_Num, Flag, Gender
                                        n000001, "14th_Dalai_Lama", 424, 0, m
    VGGFace2/test/n000001/0001_01.jpg
    VGGFace2/test.age_detected.csv      n000001/0001_01.jpg,57.3

The first file may also lie in VGGFace2/meta/, as in its archive; names in quotes may hold commas.
The ages (MIVIA lab; Greco et al., Neural Computing and Applications 2022) are optional. An ensemble
of networks estimated them, so a result on them is agreement with that ensemble.

The published pictures are loosely cut around the face; not aligned.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fsb_perception.problems import Problems
from fsb_training.datasets.faceset import AbsentError, DatasetError, FaceSet
from fsb_training.datasets.labels import age_columns, label_column
from fsb_training.datasets.tables import data_folder, known_label, read_csv, read_rows, years

_GENDERS = {"m": "male", "f": "female"}


class VGGFace2:
    """Loader of VGGFace2's test part."""

    licence = "research only: pictures from the web that belong to their owners"
    parts: tuple[str, ...] = ("test",)
    training_parts: tuple[str, ...] = ()

    def load(self, root: Path, part: str) -> FaceSet:
        """Load every picture below test/ that has a gender or an age."""
        folder = data_folder(root, "VGGFace2")
        known = _people(folder)
        pictures = _pictures(folder / part)
        problems = Problems()
        ages = _ages(folder / f"{part}.age_detected.csv", set(pictures), problems)
        files = [p for p in pictures if _person(p) in known or p in ages]
        for picture in sorted(set(pictures) - set(files)):
            problems.note("person is not in identity_meta.csv", folder / part / picture)
        groups, values = age_columns([ages.get(file) for file in files])
        people = [_person(file) for file in files]
        return FaceSet(
            name="VGGFace2",
            part=part,
            root=folder / part,
            files=tuple(files),
            labels={
                "gender": label_column(
                    "gender", [known[key].gender if key in known else None for key in people]
                ),
                "age_group": groups,
            },
            values={"age_group": values},
            people=tuple(known[key].name if key in known else "" for key in people),
            problems=problems,
        )


def _person(picture: str) -> str:
    """Return the Class_ID of n000001/0001_01.jpg."""
    return picture[: picture.index("/")]


class _Identity(NamedTuple):
    name: str
    gender: str


def _people(folder: Path) -> dict[str, _Identity]:
    """Return the people by Class_ID."""
    tables = [folder / "identity_meta.csv", folder / "meta" / "identity_meta.csv"]
    table = next((path for path in tables if path.is_file()), tables[0])
    rows = read_csv(table, ("Class_ID", "Name", "Gender"), spaced=True)
    return {
        row["Class_ID"]: _Identity(row["Name"], known_label(row["Gender"].lower(), _GENDERS, where))
        for where, row in rows
    }


def _pictures(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise AbsentError(f"there is no {folder}, which holds a folder of pictures for each person")
    return sorted(f"{path.parent.name}/{path.name}" for path in folder.glob("n*/*.jpg"))


def _ages(table: Path, pictures: set[str], problems: Problems) -> dict[str, float]:
    """Return the age in years by picture; empty if there is no table."""
    ages: dict[str, float] = {}
    if not table.is_file():
        return ages
    for where, fields in read_rows(table):
        if len(fields) != 2:
            raise DatasetError(f"{where}: {len(fields)} fields, expected a picture and its age")
        picture, age = fields
        if where.endswith(":1") and age.lower() == "age":
            continue  # some copies have a header
        if picture in pictures:
            ages[picture] = years(age, where)
        else:
            problems.note("picture is not there", where)
    return ages
