"""Batches are a function of the step alone, so a resumed run goes on as it would have."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from fsb_perception.alignment import Aligner
from fsb_perception.types import Image
from fsb_training.data.augment import augmented
from fsb_training.data.balance import drawing
from fsb_training.data.faces import FaceStore
from fsb_training.data.mixup import Mixture, mixture, unmixed
from fsb_training.data.targets import targets
from fsb_training.data.views import Views
from fsb_training.datasets.faceset import FaceSet
from fsb_training.filters import Outcome
from fsb_training.recipe import Recipe

Activations = Mapping[tuple[str, int], Sequence[NDArray[np.floating]]]
"""What a frozen prefix made of a data set's faces at a picture size: (faces, ...) by view."""


@dataclass(frozen=True)
class Source:
    """A data set's faces, where each lies in its store, and what filters did before."""

    faces: FaceSet
    store: FaceStore
    rows: NDArray[np.int64]
    filters: tuple[Outcome, ...] = ()

    def __len__(self) -> int:
        return len(self.faces)


@dataclass(frozen=True)
class Batch:
    """One step's pictures and what is known of them.

    Attributes:
        pixels: uint8 (n, 3, s, s), BGR; or what a frozen prefix made of them, float (n, ...).
        targets: float32 (n, classes) by task; rows sum to 1, or to 0 where the label is missing.
    """

    pixels: torch.Tensor
    targets: dict[str, torch.Tensor]


class StepBatches(Dataset[Batch]):
    """Batch ``step`` of a run, the same whenever it is asked for.

    Args:
        sources: what is learned from.
        recipe: how.
        part: which of a batch's faces to make; the faces do not depend on it.
        activations: taken in the place of pictures, where a prefix does not learn.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        recipe: Recipe,
        part: slice = slice(None),
        activations: Activations | None = None,
    ) -> None:
        self._sources = sources
        self._recipe = recipe
        self._part = part
        self._activations = activations
        self._views = [views_of(source, recipe) for source in sources]
        self._drawing = drawing([source.faces for source in sources], recipe.data)
        # Cumulative, since a draw by bisection costs nothing beside one over the whole column.
        self._cumulative = [chances.cumsum() for chances in self._drawing.chances]
        self._targets = [
            {t: targets(source.faces, t, recipe.loss) for t in recipe.tasks} for source in sources
        ]

    def __len__(self) -> int:
        return total_steps(self._recipe) * self._recipe.optimiser.accumulate

    @property
    def accumulate(self) -> int:
        """Batches of a step."""
        return self._recipe.optimiser.accumulate

    @property
    def reads(self) -> bool:
        """Whether batches are read from disk and not made."""
        return self._activations is not None

    def class_shares(self) -> dict[str, NDArray[np.float64]]:
        """How often each class of a task is drawn: shares (classes,) of its labels, by task."""
        return {
            task: self._drawing.class_shares([rows[task] for rows in self._targets])
            for task in self._recipe.tasks
        }

    def __getitem__(self, index: int) -> Batch:
        recipe = self._recipe
        rng = np.random.default_rng([recipe.seed, index])
        side = size_at(index // recipe.optimiser.accumulate, recipe)
        drawn = self._drawn(rng)
        mixed = self._mixture(drawn, rng)
        make = self._fixed if recipe.data.views else self._fresh
        return Batch(
            make(drawn, side, rng, mixed),
            {
                task: torch.from_numpy(
                    mixed.targets(np.stack([self._targets[s][task][row] for s, row in drawn]))[
                        self._part
                    ].copy()
                )
                for task in recipe.tasks
            },
        )

    def _drawn(self, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Which faces, of all processes: a source and a row each. It is what ``rng`` does first."""
        size = self._recipe.optimiser.batch_size
        which = rng.choice(len(self._sources), size, p=self._drawing.shares)
        return [(int(s), self._draw(s, rng)) for s in which]

    def _mixture(self, faces: Sequence[tuple[int, int]], rng: np.random.Generator) -> Mixture:
        alpha = self._recipe.augment.mixup
        if not alpha:
            return unmixed(len(faces))
        known = [
            tuple(bool(rows[row].any()) for rows in self._targets[s].values()) for s, row in faces
        ]
        return mixture(known, alpha, rng)

    def _draw(self, s: int, rng: np.random.Generator) -> int:
        cumulative = self._cumulative[s]
        row = int(np.searchsorted(cumulative, rng.random(), "right"))
        return min(row, len(cumulative) - 1)  # the sum may fall short of 1 by a rounding

    def _fresh(
        self,
        drawn: Sequence[tuple[int, int]],
        side: int,
        rng: np.random.Generator,
        mixed: Mixture,
    ) -> torch.Tensor:
        """Pictures as nobody has seen them before."""
        aligner = Aligner(side, self._recipe.alignment)
        # A stream of chance for each picture: a process needs to make none but its own, and those
        # that they are mixed with.
        streams = rng.spawn(len(drawn))

        @functools.cache
        def picture(n: int) -> Image:
            return self._picture(*drawn[n], aligner, streams[n])

        return _stacked([mixed.picture(n, picture) for n in range(len(drawn))[self._part]])

    def _fixed(
        self,
        drawn: Sequence[tuple[int, int]],
        side: int,
        rng: np.random.Generator,
        mixed: Mixture,
    ) -> torch.Tensor:
        """A view of each, by chance; or what the prefix made of it. Recipes do not mix these."""
        del mixed
        views = rng.integers(self._recipe.data.views, size=len(drawn))
        faces = [(s, row, int(v)) for (s, row), v in zip(drawn, views, strict=True)][self._part]
        if self._activations is None:
            aligner = Aligner(side, self._recipe.alignment)
            return _stacked([self._views[s].picture(row, v, aligner) for s, row, v in faces])
        by_source = [self._activations[source.faces.name, side] for source in self._sources]
        return torch.from_numpy(np.stack([by_source[s][v][row] for s, row, v in faces]))

    def _picture(self, s: int, row: int, aligner: Aligner, rng: np.random.Generator) -> Image:
        source = self._sources[s]
        stored = int(source.rows[row])
        image, face = source.store.image(stored), source.store.face(stored)
        return augmented(image, face, aligner, self._recipe.augment, rng)


def views_of(source: Source, recipe: Recipe) -> Views:
    """The fixed views of a source's faces."""
    return Views(source.faces.name, source.faces.files, source.rows, source.store, recipe)


def _stacked(pictures: Sequence[Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def total_steps(recipe: Recipe) -> int:
    """Steps of a whole run."""
    return -(-recipe.optimiser.images // recipe.optimiser.step_images)


def size_at(step: int, recipe: Recipe) -> int:
    """Side of the pictures at a step: small ones first, since they cost less and teach as much."""
    ends = np.cumsum(recipe.stage_shares) * total_steps(recipe)
    stage = min(int((step >= ends - 1e-6).sum()), len(recipe.sizes) - 1)
    return recipe.sizes[stage]


def loader(dataset: StepBatches, first_step: int) -> Iterator[list[Batch]]:
    """The batches of each step from ``first_step`` to the end.

    Pictures are made ahead in one other process. Activations are only read, in this one: that
    costs less than to hand them over.
    """
    each = dataset.accumulate
    # OpenCV's threads do not survive the fork: the other process would wait for them for ever.
    cv2.setNumThreads(1)
    batches = iter(
        DataLoader(
            dataset,
            batch_size=None,
            sampler=range(first_step * each, len(dataset)),
            **({} if dataset.reads else _AHEAD),
        )
    )
    while group := list(islice(batches, each)):
        yield group


_AHEAD: Mapping[str, Any] = {
    "num_workers": 1,
    "prefetch_factor": 4,
    "multiprocessing_context": "fork",
}
