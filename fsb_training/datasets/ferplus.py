"""FER+ (Barsoum et al., ICMI 2016): ten votes on the emotion of each FER2013 picture.

    FERPlus/fer2013new.csv      Usage,Image name,neutral,happiness,...,contempt,unknown,NF
    FERPlus/FER2013{Train,Valid,Test}/ferNNNNNNN.png

The label is the single top vote over all ten columns. Faces whose top is shared, or is contempt,
unknown or not-a-face, are left out: the rule moves accuracy by several points, so it is stated with
every number. The votes for the seven emotions are kept as soft labels.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np

from fsb_perception.tasks import TASKS
from fsb_training.datasets import DATASETS, DatasetError, FaceSet

_PARTS = {
    "train": ("Training", "FER2013Train"),
    "valid": ("PublicTest", "FER2013Valid"),
    "test": ("PrivateTest", "FER2013Test"),
}
_EMOTIONS = TASKS["emotion"].labels
_OTHERS = ("contempt", "unknown", "NF")


class FERPlus:
    """Loader of FER+."""

    licence = "labels MIT; FER2013 pictures without a clear licence: research only"
    parts: tuple[str, ...] = tuple(_PARTS)
    training_parts: tuple[str, ...] = ("train", "valid")

    def load(self, root: Path, part: str) -> FaceSet:
        """Faces of ``part`` that have one top vote among the seven emotions."""
        folder = root / "FERPlus"
        usage, pictures = _PARTS[part]
        files, votes, problems = [], [], Counter[str]()
        for row in _read(folder / "fer2013new.csv", usage):
            reason, file = _judge(row, folder, pictures)
            if reason:
                problems[reason] += 1
                continue
            files.append(file)
            votes.append([int(row[emotion]) for emotion in _EMOTIONS])
        counts = np.array(votes, np.float32).reshape(-1, len(_EMOTIONS))
        return FaceSet(
            name="FERPlus",
            part=part,
            root=folder,
            files=tuple(files),
            labels={"emotion": counts.argmax(axis=1).astype(np.int64)},
            soft_labels={"emotion": counts / counts.sum(axis=1, keepdims=True)},
            problems=problems,
        )


def _read(table: Path, usage: str) -> list[dict[str, str]]:
    if not table.is_file():
        raise DatasetError(f"there is no {table}: point the data root at the folder above FERPlus/")
    wanted = {"Usage", "Image name", *_EMOTIONS, *_OTHERS}
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if not set(reader.fieldnames or ()) >= wanted:
            lacking = sorted(wanted - set(reader.fieldnames or ()))
            raise DatasetError(f"{table}:1: the header lacks {lacking}")
        return [row for row in reader if row["Usage"] == usage]


def _judge(row: dict[str, str], folder: Path, pictures: str) -> tuple[str, str]:
    """(why the row is left out or "", its picture)."""
    top = max(int(row[column]) for column in (*_EMOTIONS, *_OTHERS))
    winners = [column for column in (*_EMOTIONS, *_OTHERS) if int(row[column]) == top]
    if len(winners) > 1:
        return "top vote shared", ""
    if winners[0] in _OTHERS:
        return f"top vote is {winners[0]}", ""
    # Some copies keep the pictures as JPEG, whatever the table says.
    for suffix in (".png", ".jpg"):
        file = Path(pictures, row["Image name"]).with_suffix(suffix)
        if (folder / file).is_file():
            return "", str(file)
    return "picture is not there", ""


DATASETS.register("FERPlus")(FERPlus())
