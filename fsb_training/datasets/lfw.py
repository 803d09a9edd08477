"""LFW (Huang et al., 2007) with the gender lists of Afifi & Abdelhamed (AFIF4, 2017).

    LFW/male_names.txt, LFW/female_names.txt     Aaron_Eckhart_0001.jpg a line
    LFW/Aaron_Eckhart/Aaron_Eckhart_0001.jpg

(the folder may also be called lfw, as in the archive). LFW publishes pairs for verification as its
parts, so this loader has one part with every picture.

The published pictures are 250 x 250 px: the box of a found face, enlarged 2.2 times. The face in
the middle is meant. Not aligned in the plain archive, upright in the funneled ones.
"""

from __future__ import annotations

import re
from pathlib import Path

from fsb_perception.problems import Problems
from fsb_training.datasets.faceset import FaceSet
from fsb_training.datasets.labels import label_column
from fsb_training.datasets.tables import data_folder, read_words

_NAME = re.compile(r"^(?P<person>.+)_\d{4}\.jpg$", re.ASCII)
_LISTS = {"male": "male_names.txt", "female": "female_names.txt"}


class LFW:
    """Loader of LFW."""

    licence = "research only: news photographs that belong to their owners"
    parts: tuple[str, ...] = ("all",)
    training_parts: tuple[str, ...] = ("all",)

    def load(self, root: Path, part: str) -> FaceSet:
        """Load the faces of known gender; a picture in both lists or in neither is counted."""
        folder = data_folder(root, "LFW", "lfw")
        problems = Problems()
        genders = _listed(folder, problems)
        there = {path.name for path in folder.glob("*/*.jpg")}
        for name in sorted(there - set(genders)):
            problems.note("in neither gender list", folder / _file(name))
        files, labels = [], []
        for name, (gender, where) in sorted(genders.items()):
            if name not in there:
                problems.note("picture is not there", where)
            elif not gender:
                problems.note("in both gender lists", where)
            else:
                files.append(_file(name))
                labels.append(gender)
        return FaceSet(
            name="LFW",
            part=part,
            root=folder,
            files=tuple(files),
            labels={"gender": label_column("gender", labels)},
            people=tuple(file[: file.index("/")] for file in files),
            problems=problems,
        )


def _listed(folder: Path, problems: Problems) -> dict[str, tuple[str, str]]:
    """Return (gender, path and line) of each listed picture; gender is "" if in both lists."""
    genders: dict[str, tuple[str, str]] = {}
    for gender, table in _LISTS.items():
        for where, words in read_words(folder / table):
            name = " ".join(words)
            if not _NAME.match(name):
                problems.note("malformed name", where)
            elif genders.get(name, (gender, ""))[0] == gender:
                genders[name] = (gender, where)
            else:
                genders[name] = ("", where)
    return genders


def _file(name: str) -> str:
    match = _NAME.match(name)
    return f"{match['person']}/{name}" if match else f"*/{name}"
