"""Fixed views: a picture's augmented variants by number, the same in every run.

With views, what a frozen part of the tower makes of a picture can be computed once. Each view is a
function of the picture's name, its number and `data.view_seed`, and of nothing else: neither of the
training's seed nor of the other pictures, so runs of a comparison share them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from fsb_perception.alignment import Aligner
from fsb_perception.types import Image
from fsb_training.data.augment import augmented
from fsb_training.data.faces import FaceStore
from fsb_training.recipe import Recipe


class Views:
    """The views of one data set's faces.

    Args:
        name: of the data set.
        files: a picture's name each.
        rows: where each lies in ``store``.
        store: pictures and faces.
        recipe: says how pictures are changed, and by which seed.
    """

    def __init__(
        self, name: str, files: Sequence[str], rows: np.ndarray, store: FaceStore, recipe: Recipe
    ) -> None:
        self._name, self._files, self._rows, self._store = name, files, rows, store
        self._augment = recipe.augment
        self._seed = recipe.data.view_seed

    def __len__(self) -> int:
        return len(self._files)

    def picture(self, index: int, view: int, aligner: Aligner) -> Image:
        """View ``view`` of face ``index``, uint8 BGR (size, size, 3)."""
        name = f"{self._name}/{self._files[index]}".encode()
        key = int.from_bytes(hashlib.sha256(name).digest()[:8], "little")
        rng = np.random.default_rng([self._seed, key, view])
        row = int(self._rows[index])
        image, face = self._store.image(row), self._store.face(row)
        return augmented(image, face, aligner, self._augment, rng)
