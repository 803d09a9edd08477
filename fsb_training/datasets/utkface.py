"""UTKFace (Zhang et al., CVPR 2017): age in years and gender, for non-commercial research.

UTKFace/[age]_[gender]_[race]_[datetime].jpg.chip.jpg        gender: 0 male, 1 female
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from fsb_perception.tasks import age_group
from fsb_training.datasets import DATASETS, DatasetError, FaceSet

_NAME = re.compile(r"^(?P<age>\d{1,3})_(?P<gender>[01])_[0-4]_\d+\.jpg(\.chip\.jpg)?$")


class UTKFace:
    """Loader of UTKFace."""

    licence = "non-commercial research"
    parts: tuple[str, ...] = ("all",)
    training_parts: tuple[str, ...] = ("all",)

    def load(self, root: Path, part: str) -> FaceSet:
        """All faces; names that miss a field, as a few published ones do, are counted."""
        folder = root / "UTKFace"
        if not folder.is_dir():
            raise DatasetError(f"there is no folder {folder}: point the data root above UTKFace/")
        names = sorted(path.name for path in folder.iterdir() if path.suffix == ".jpg")
        matches = [(name, match) for name in names if (match := _NAME.match(name))]
        problems = Counter[str]()
        if len(matches) < len(names):
            problems["malformed name"] = len(names) - len(matches)
        return FaceSet(
            name="UTKFace",
            part=part,
            root=folder,
            files=tuple(name for name, _ in matches),
            labels={
                "gender": np.array([int(m["gender"]) for _, m in matches], np.int64),
                "age_group": np.array([age_group(int(m["age"])) for _, m in matches], np.int64),
            },
            problems=problems,
        )


DATASETS.register("UTKFace")(UTKFace())
