"""FairFace (Karkkainen & Joo, WACV 2021): age group, gender and race of 108,000 faces, CC BY 4.0.

FairFace/fairface_label_{train,val}.csv     file,age,gender,race,service_test
FairFace/{train,val}/N.jpg
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from fsb_training.datasets import DATASETS, DatasetError, FaceSet, label_column

_GENDERS = {"Male": "male", "Female": "female"}
_AGES = {"more than 70": "70+"}
_COLUMNS = {"file", "age", "gender"}


class FairFace:
    """Loader of FairFace."""

    licence = "CC BY 4.0"
    parts: tuple[str, ...] = ("train", "val")
    training_parts: tuple[str, ...] = ("train",)

    def load(self, root: Path, part: str) -> FaceSet:
        """Faces of ``part``; a picture that is listed but absent is counted as a problem."""
        folder = root / "FairFace"
        table = folder / f"fairface_label_{part}.csv"
        rows, problems = [], Counter[str]()
        for number, row in enumerate(_read(table), start=2):
            _check(row, table, number)
            if (folder / row["file"]).is_file():
                rows.append(row)
            else:
                problems["picture is not there"] += 1
        return FaceSet(
            name="FairFace",
            part=part,
            root=folder,
            files=tuple(row["file"] for row in rows),
            labels={
                "gender": label_column("gender", [_GENDERS[row["gender"]] for row in rows]),
                "age_group": label_column("age_group", [_age(row["age"]) for row in rows]),
            },
            problems=problems,
        )


def _age(text: str) -> str:
    return _AGES.get(text, text)


def _read(table: Path) -> list[dict[str, str]]:
    if not table.is_file():
        raise DatasetError(
            f"there is no {table}: point the data root at the folder above FairFace/"
        )
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if not set(reader.fieldnames or ()) >= _COLUMNS:
            raise DatasetError(f"{table}:1: header {reader.fieldnames} lacks {sorted(_COLUMNS)}")
        return list(reader)


def _check(row: dict[str, str], table: Path, number: int) -> None:
    try:
        _GENDERS[row["gender"]]
        label_column("age_group", [_age(row["age"])])
    except KeyError as error:
        raise DatasetError(f"{table}:{number}: unknown label {error.args[0]!r}") from None


DATASETS.register("FairFace")(FairFace())
