"""FER+ (Barsoum et al., ICMI 2016): ten votes on the emotion of each FER2013 picture.

    FERPlus/fer2013new.csv      Usage,Image name,neutral,happiness,...,contempt,unknown,NF
    FERPlus/FER2013{Train,Valid,Test}/ferNNNNNNN.png

The label is the single top vote over all ten columns. Faces whose top is shared, or is contempt,
unknown or not-a-face, are left out. The rule moves accuracy by several points, so it belongs beside
every number. The votes for the seven emotions are kept as soft labels.

The published pictures are grey, 48 x 48 px, with the face roughly in the middle; not aligned.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fsb_perception.problems import Problems
from fsb_perception.tasks import TASKS
from fsb_training.datasets.faceset import DatasetError, FaceSet
from fsb_training.datasets.tables import data_folder, known_label, read_csv

_PARTS = {
    "train": ("Training", "FER2013Train"),
    "valid": ("PublicTest", "FER2013Valid"),
    "test": ("PrivateTest", "FER2013Test"),
}
_USAGES = {usage: part for part, (usage, _) in _PARTS.items()}
_EMOTIONS = TASKS["emotion"].labels
_VOTES = (*_EMOTIONS, "contempt", "unknown", "NF")


class FERPlus:
    """Loader of FER+."""

    licence = "labels MIT; FER2013 pictures without a clear licence: research only"
    parts: tuple[str, ...] = tuple(_PARTS)
    training_parts: tuple[str, ...] = ("train", "valid")

    def load(self, root: Path, part: str) -> FaceSet:
        """Load the faces of ``part`` that have one top vote among the seven emotions."""
        folder = data_folder(root, "FERPlus")
        usage, pictures = _PARTS[part]
        files, votes, problems = [], [], Problems()
        for where, row in read_csv(folder / "fer2013new.csv", ("Usage", "Image name", *_VOTES)):
            if row["Usage"] != usage:
                known_label(row["Usage"], _USAGES, where, kind="Usage")
                continue
            counts = _votes(row, where)
            reason = _reason(counts)
            file = "" if reason else _picture(folder, pictures, row["Image name"])
            if not file:
                problems.note(reason or "picture is not there", where)
                continue
            files.append(file)
            votes.append(counts[: len(_EMOTIONS)])
        rows = np.array(votes, np.float32).reshape(-1, len(_EMOTIONS))
        return FaceSet(
            name="FERPlus",
            part=part,
            root=folder,
            files=tuple(files),
            labels={"emotion": rows.argmax(axis=1).astype(np.int64)},
            soft_labels={"emotion": rows / rows.sum(axis=1, keepdims=True)},
            problems=problems,
        )


def _votes(row: dict[str, str], where: str) -> list[int]:
    for name in _VOTES:
        if not row[name].isdecimal():
            raise DatasetError(f"{where}: {name} has {row[name]!r} votes, not a whole number")
    return [int(row[name]) for name in _VOTES]


def _reason(votes: list[int]) -> str:
    """Return why a face is left out for its votes, or ""."""
    winners = [name for name, count in zip(_VOTES, votes, strict=True) if count == max(votes)]
    if len(winners) > 1:
        return "top vote shared"
    if winners[0] in _EMOTIONS:
        return ""
    return f"top vote is {'not a face' if winners[0] == 'NF' else winners[0]}"


def _picture(folder: Path, pictures: str, name: str) -> str:
    """Return its path below ``folder``, or "". Some copies keep JPEGs in spite of the table."""
    if not name:  # the published table has no name where there is no face
        return ""
    for suffix in (".png", ".jpg"):
        file = Path(pictures, name).with_suffix(suffix)
        if (folder / file).is_file():
            return str(file)
    return ""
