"""FairFace (Karkkainen & Joo, WACV 2021): age group, gender and race of 98,000 faces, CC BY 4.0.

FairFace/fairface_label_{train,val}.csv     file,age,gender,race,service_test
FairFace/{train,val}/N.jpg

The published pictures are faces that a detector found and cut out with a margin; not aligned.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fsb_perception.problems import Problems
from fsb_perception.tasks import TASKS
from fsb_training.datasets.faceset import FaceSet
from fsb_training.datasets.labels import label_column
from fsb_training.datasets.tables import data_folder, known_label, read_csv

_GENDERS = {"Male": "male", "Female": "female"}
_AGES = {label: label for label in TASKS["age_group"].labels[:-1]} | {"more than 70": "70+"}


class FairFace:
    """Loader of FairFace."""

    licence = "CC BY 4.0"
    parts: tuple[str, ...] = ("train", "val")
    training_parts: tuple[str, ...] = ("train",)

    def load(self, root: Path, part: str) -> FaceSet:
        """Load the faces of ``part``; a listed picture that is absent is counted as a problem."""
        folder = data_folder(root, "FairFace")
        table = folder / f"fairface_label_{part}.csv"
        files, genders, ages, races, problems = [], [], [], [], Problems()
        for where, row in read_csv(table, ("file", "age", "gender", "race")):
            gender = known_label(row["gender"], _GENDERS, where)
            age = known_label(row["age"], _AGES, where)
            if not (folder / row["file"]).is_file():
                problems.note("picture is not there", where)
                continue
            files.append(row["file"])
            genders.append(gender)
            ages.append(age)
            races.append(row["race"])
        return FaceSet(
            name="FairFace",
            part=part,
            root=folder,
            files=tuple(files),
            labels={
                "gender": label_column("gender", genders),
                "age_group": label_column("age_group", ages),
            },
            traits={"race": np.array(races, np.str_)},
            problems=problems,
        )
