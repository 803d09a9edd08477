"""The filter of people: it leaves out those who are in an evaluation set.

    CelebA-HQ/0.jpg -> 119613.jpg of CelebA -> "Brad_Pitt" -+
                                                            +-- the same person: leave out
    LFW, VGGFace2: names that they publish -----------------+

CelebA-HQ publishes no names, and CelebA's authors publish identities as numbers alone. So the user
must supply a table of names with lines like ``000001.jpg Brad_Pitt``; no published layout has it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsb_perception.options import OptionError, option
from fsb_training.datasets import DATASETS, load_part
from fsb_training.datasets.celeba_hq import originals
from fsb_training.datasets.faceset import DatasetError, FaceSet
from fsb_training.datasets.tables import read_words
from fsb_training.filters.base import KEEP, FilterConfig, Verdict

_CELEBA_HQ = "CelebA-HQ"
_ORIGINAL = re.compile(r"\d{6}\.jpg", re.ASCII)


class CelebrityOptions(FilterConfig):
    """The evaluation sets, and the names of CelebA-HQ's people."""

    evaluation: tuple[str, ...] = option(
        (), "data sets whose people are not learned from: LFW, VGGFace2; empty is off"
    )
    identities: str = option(
        "", "names of CelebA's people, which CelebA-HQ needs: lines like 000001.jpg Brad_Pitt"
    )

    def open(self, root: Path, datasets: Collection[str]) -> Celebrities | None:
        """Collect the names; see `FilterConfig.open`."""
        if not self.evaluation:
            return None
        if _CELEBA_HQ in datasets and not self.identities:
            raise OptionError(
                "data.filters.celebrities.identities: CelebA-HQ has no names; give a table with "
                "lines like 000001.jpg Brad_Pitt, or leave CelebA-HQ out of data.shares"
            )
        table = Path(self.identities)
        known = _identities(table) if self.identities else {}
        return Celebrities({name: _people(root, name) for name in self.evaluation}, known)


@dataclass(frozen=True)
class Celebrities:
    """Leaves out faces of people who are in an evaluation set.

    Attributes:
        people: plain names by evaluation set.
        identities: plain name by CelebA's file name.
    """

    people: Mapping[str, Collection[str]]
    identities: Mapping[str, str]

    def judge(self, faces: FaceSet) -> Sequence[Verdict] | None:
        """Judge each face by its person; return None for a data set without names."""
        names = self._names(faces)
        return [self._verdict(name) for name in names] if names else None

    def _names(self, faces: FaceSet) -> list[str]:
        """Return the plain name of each face, "" where unknown; empty without any names."""
        if faces.name != _CELEBA_HQ:
            return [plain_name(person) for person in faces.people]
        source = originals(faces.root)
        files = [source.get(Path(file).name, "") for file in faces.files]
        return [self.identities.get(file, "") for file in files]

    def _verdict(self, name: str) -> Verdict:
        if not name:
            return Verdict(True, "the person is unknown")
        dataset = next((key for key, people in self.people.items() if name in people), "")
        return Verdict(False, f"the person is in {dataset}") if dataset else KEEP


def plain_name(name: str) -> str:
    """Return a name in a form that can be compared: no case, accents, quotes or underscores.

    >>> plain_name('"Beyoncé_Knowles"'), plain_name("Shaquille_O'Neal"), plain_name("Jean-Luc_B.")
    ('beyonce knowles', 'shaquille oneal', 'jean luc b')
    """
    letters = unicodedata.normalize("NFKD", name.casefold())
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(re.sub(r"[\W_]+", " ", re.sub(r"['\"’‘`´.]", "", bare)).split())


def _people(root: Path, name: str) -> set[str]:
    """Return the plain names of all people in a data set."""
    parts = DATASETS[name].parts
    people: set[str] = set()
    for part in ("all",) if "all" in parts else parts:
        people |= {plain_name(person) for person in load_part(root, name, part).people}
    if not people:
        raise OptionError(
            f"data.filters.celebrities.evaluation: got {name}, which has no names of people"
        )
    return people - {""}


def _identities(table: Path) -> dict[str, str]:
    known: dict[str, str] = {}
    for where, (file, *words) in read_words(table):
        if not _ORIGINAL.fullmatch(file) or not words:
            line = " ".join([file, *words])
            raise DatasetError(f"{where}: {line!r} is not a line like 000001.jpg Brad_Pitt")
        name = plain_name(" ".join(words))
        if not name or name.isdecimal():
            raise DatasetError(
                f"{where}: {' '.join(words)!r} is no name; CelebA's own identity_CelebA.txt "
                "has numbers, which cannot be compared with names"
            )
        if known.get(file, name) != name:
            raise DatasetError(f"{where}: {file} has another name in an earlier line")
        known[file] = name
    return known
