"""UTKFace (Zhang et al., CVPR 2017): age in years and gender, for non-commercial research.

UTKFace/[age]_[gender]_[race]_[datetime].jpg.chip.jpg        gender: 0 male, 1 female

The published pictures are faces cut out and roughly aligned, 200 x 200 px, with hair and chin. The
same photograph occurs many times, so a split has to keep near-duplicates together.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from fsb_perception.problems import Problems
from fsb_training.datasets.faceset import FaceSet
from fsb_training.datasets.labels import age_columns
from fsb_training.datasets.tables import OLDEST, data_folder

_NAME = re.compile(
    r"^(?P<age>\d{1,3})_(?P<gender>[01])_(?P<race>[0-4])_\d+\.jpg(\.chip\.jpg)?$", re.ASCII
)
_RACES = ("White", "Black", "Asian", "Indian", "Others")


class UTKFace:
    """Loader of UTKFace."""

    licence = "non-commercial research"
    parts: tuple[str, ...] = ("all",)
    training_parts: tuple[str, ...] = ("all",)

    def load(self, root: Path, part: str) -> FaceSet:
        """Load all faces; a few published names miss a field, and are counted."""
        folder = data_folder(root, "UTKFace")
        matches, problems = [], Problems()
        for name in sorted(path.name for path in folder.iterdir() if path.suffix == ".jpg"):
            match = _NAME.match(name)
            if not match:
                problems.note("malformed name", folder / name)
            elif int(match["age"]) > OLDEST:
                problems.note(f"age above {OLDEST} years", folder / name)
            else:
                matches.append(match)
        groups, ages = age_columns([int(match["age"]) for match in matches])
        return FaceSet(
            name="UTKFace",
            part=part,
            root=folder,
            files=tuple(match.string for match in matches),
            labels={
                "gender": np.array([int(match["gender"]) for match in matches], np.int64),
                "age_group": groups,
            },
            values={"age_group": ages},
            traits={"race": np.array([_RACES[int(match["race"])] for match in matches], np.str_)},
            problems=problems,
        )
