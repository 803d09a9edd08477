"""Compare the two cuts of a face by a classifier too simple to make up for either.

    python scripts/compare_alignment.py DATA_ROOT

A ridge classifier on histograms of oriented gradients (Dalal & Triggs, CVPR 2005) is fitted to the
"fit" part of each data set and judged on its "dev" part; docs/alignment.md holds what came of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import RidgeClassifier

from fsb_perception.alignment import Aligner, AlignmentMethod
from fsb_perception.types import Floats
from fsb_training.data.faces import Source
from fsb_training.data.sources import open_split
from fsb_training.recipe_options import DataOptions

_DATA_SETS = ("FairFace", "UTKFace", "FERPlus")  # complete labels, and not aligned as published
_SIDE = 64  # px
_RIDGE = 100.0  # penalty on squared weights; the features lie in [0, 0.2]


def features(source: Source, rows: np.ndarray, aligner: Aligner) -> Floats:
    """Histograms of oriented gradients of the aligned faces, float32 (n, 1764)."""
    describe = cv2.HOGDescriptor((_SIDE, _SIDE), (16, 16), (8, 8), (8, 8), 9).compute
    faces = ((source.store.image(int(row)), source.store.face(int(row))) for row in rows)
    return np.stack([np.ravel(describe(aligner.align(image, face))) for image, face in faces])


def compare(data_root: Path, cache: Path = Path("runs/cache"), most: int = 16_000) -> None:
    """Print the accuracy of each alignment on each task, with its 95 % interval."""
    table = Table("data set", "task", "faces", *get_args(AlignmentMethod))
    options = DataOptions(root=str(data_root), cache=str(cache))
    for name in _DATA_SETS:
        fit, dev = open_split(name, options)
        chosen = np.random.default_rng(0).permutation(len(fit))[:most]
        cells: dict[str, list[str]] = {task: [] for task in fit.faces.labels}
        for method in get_args(AlignmentMethod):
            aligner = Aligner(_SIDE, method)
            known = features(fit, fit.rows[chosen], aligner)
            asked = features(dev, dev.rows, aligner)
            for task, row in cells.items():
                reader = RidgeClassifier(_RIDGE).fit(known, fit.faces.labels[task][chosen])
                row.append(_interval(reader.predict(asked) == dev.faces.labels[task]))
        for task, row in cells.items():
            table.add_row(name, task, str(len(dev)), *row)
    Console().print(table)


def _interval(right: np.ndarray) -> str:
    share = right.mean()
    return f"{share:.3f} ± {1.96 * np.sqrt(share * (1 - share) / len(right)):.3f}"


if __name__ == "__main__":
    typer.run(compare)
