"""Fixed views: numbered variants of a picture that are the same in every run.

With views, the output of a frozen part of the tower can be computed once. A view depends on the
picture's name, on its own number and on ``data.view_seed`` alone. It depends neither on the
training's seed nor on the other pictures, so the runs of a comparison share the views.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fsb_perception.alignment import Aligner
from fsb_perception.types import Image
from fsb_training.data.augment import augmented
from fsb_training.data.store import FaceStore
from fsb_training.recipe import Recipe


class Views:
    """The views of one data set's faces.

    Args:
        name: of the data set.
        files: name of each face's picture.
        rows: where each lies in ``store``.
        store: pictures and faces.
        recipe: has the augmentation and the seed of the views.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[str],
        rows: NDArray[np.int64],
        store: FaceStore,
        recipe: Recipe,
    ) -> None:
        self._name, self._files, self._rows, self._store = name, files, rows, store
        self._augment = recipe.augmentation
        self._seed = recipe.data.view_seed

    def __len__(self) -> int:
        return len(self._files)

    def picture(self, index: int, view: int, aligner: Aligner) -> Image:
        """Return view ``view`` of face ``index``, uint8 BGR (size, size, 3)."""
        name = f"{self._name}/{self._files[index]}".encode()
        key = int.from_bytes(hashlib.sha256(name).digest()[:8], "little")
        rng = np.random.default_rng([self._seed, key, view])
        row = int(self._rows[index])
        image, face = self._store.image(row), self._store.face(row)
        return augmented(image, face, aligner, self._augment, rng)
