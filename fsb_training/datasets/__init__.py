"""Face data sets in their published layouts, one file each; docs/datasets.md lists them.

To add one, write a file here with a class that fits `faceset.Loader`, and enter it in the table.
Three rules hold for all:

- Labels that a data set does not have are `faceset.MISSING`.
- An entry that cannot be used (no picture, a malformed name) is counted with its reason and an
  example, never dropped silently.
- A table that is not the published one (another header, an impossible label) is a `DatasetError`
  with file and line: no other label in it could be trusted.
"""

from __future__ import annotations

from pathlib import Path

from fsb_perception.registry import Registry, UnknownNameError
from fsb_training.datasets.celeba_hq import CelebAHQ
from fsb_training.datasets.faceset import (
    AbsentError,
    DatasetError,
    FaceSet,
    Loader,
    joined,
    without_repeats,
)
from fsb_training.datasets.fairface import FairFace
from fsb_training.datasets.ferplus import FERPlus
from fsb_training.datasets.lfw import LFW
from fsb_training.datasets.own_table import OwnTable
from fsb_training.datasets.rafdb import RAFDB
from fsb_training.datasets.utkface import UTKFace
from fsb_training.datasets.vggface2 import VGGFace2

DATASETS: Registry[Loader] = Registry(
    "data set",
    {
        "CelebA-HQ": CelebAHQ(),
        "FairFace": FairFace(),
        "FERPlus": FERPlus(),
        "LFW": LFW(),
        "CSV": OwnTable("CSV", licence="as its author states"),
        "RAF-DB": RAFDB(),
        "UTKFace": UTKFace(),
        "VGGFace2": VGGFace2(),
    },
)


def loader_of(name: str, part: str) -> Loader:
    """Return the loader of a data set that publishes ``part``.

    Raises:
        UnknownNameError: no such data set, or it has no such part.
    """
    loader = DATASETS[name]
    if part not in loader.parts:
        raise UnknownNameError(f"part of {name}", part, loader.parts)
    return loader


def load_part(root: Path, name: str, part: str) -> FaceSet:
    """Load a published part of a data set.

    Args:
        root: the data root, in which each data set has its folder.
        name: of the data set.
        part: one of the loader's ``parts``.

    Raises:
        UnknownNameError: no such data set or part.
        AbsentError: its folder or table is missing, or the table has nothing for this part.
        DatasetError: a table is malformed, or no picture is usable.
    """
    faces = without_repeats(loader_of(name, part).load(root, part))
    if not len(faces) and not faces.problems:
        raise AbsentError(f"{faces.root} holds nothing for {name}:{part}")
    if not len(faces):
        reasons = "; ".join(faces.problems.sentences())
        raise DatasetError(f"{name}:{part} below {root} has no usable face: {reasons}")
    return faces


def load_training(root: Path, name: str) -> FaceSet:
    """Load everything that a data set publishes for training, as one part called "training".

    Raises:
        UnknownNameError: no such data set.
        DatasetError: it publishes nothing for training, or `load_part` refuses a part.
    """
    parts = DATASETS[name].training_parts
    if not parts:
        raise DatasetError(
            f"{name} has no part to learn from: take it out of data.shares and judge on "
            f"{', '.join(DATASETS[name].parts)}"
        )
    return joined([load_part(root, name, part) for part in parts], "training")
