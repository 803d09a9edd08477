"""The batches of a run: a function of the step alone, so that a resumed run goes on exactly.

seed, step --> rng --> faces drawn --> partners (mixup) --> pictures or activations, targets
"""

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
from fsb_perception.types import Floats, Image
from fsb_training.data.augment import augmented
from fsb_training.data.balance import draw_chances
from fsb_training.data.faces import Source
from fsb_training.data.mixup import Mixture, mixture, unmixed
from fsb_training.data.targets import targets
from fsb_training.data.views import Views
from fsb_training.recipe import Recipe

Activations = Mapping[tuple[str, int], Sequence[NDArray[np.floating]]]
"""Outputs of a frozen prefix by data set and picture size: (faces, ...) for each view."""

Drawn = Sequence[tuple[int, int]]
"""The faces of a batch: index of the source, and row in it."""


@dataclass(frozen=True)
class Batch:
    """Inputs and targets of one step.

    Attributes:
        pixels: uint8 (n, 3, s, s), BGR; or the output of a frozen prefix, float (n, ...).
        targets: float32 (n, classes) by task; rows sum to 1, or to 0 where the label is missing.
    """

    pixels: torch.Tensor
    targets: dict[str, torch.Tensor]


class StepBatches(Dataset[Batch]):
    """The batches of a run by index; an index gives the same batch whenever it is read.

    Args:
        sources: what is learned from.
        recipe: of the run.
        part: the faces of a batch that this process makes; it does not change which are drawn.
        activations: outputs of a frozen prefix, which are read in place of pictures.
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
        self._chances = draw_chances([source.faces for source in sources], recipe.data)
        # Cumulative: a draw by bisection is far cheaper than one over the whole column.
        self._cumulative = [chances.cumsum() for chances in self._chances.chances]
        self._targets = [
            {t: targets(source.faces, t, recipe.loss) for t in recipe.tasks} for source in sources
        ]

    def __len__(self) -> int:
        return total_steps(self._recipe) * self._recipe.optimiser.accumulate

    @property
    def accumulate(self) -> int:
        """Number of batches in a step of the optimiser."""
        return self._recipe.optimiser.accumulate

    @property
    def reads(self) -> bool:
        """True if batches are read from disk; False if they are made from pictures."""
        return self._activations is not None

    def class_shares(self) -> dict[str, NDArray[np.float64]]:
        """Return the share (classes,) of each class among the drawn labels, by task."""
        return {
            task: self._chances.class_shares([rows[task] for rows in self._targets])
            for task in self._recipe.tasks
        }

    def __getitem__(self, index: int) -> Batch:
        recipe = self._recipe
        rng = np.random.default_rng([recipe.seed, index])
        side = size_at(index // recipe.optimiser.accumulate, recipe)
        drawn = self._draw_batch(rng)
        mixed = self._mixture(drawn, rng)
        make = self._fixed if recipe.data.views else self._fresh
        pixels = make(drawn, side, rng, mixed)
        return Batch(pixels, {task: self._targets_of(task, drawn, mixed) for task in recipe.tasks})

    def _targets_of(self, task: str, drawn: Drawn, mixed: Mixture) -> torch.Tensor:
        rows: Floats = np.stack([self._targets[s][task][row] for s, row in drawn])
        return torch.from_numpy(mixed.targets(rows)[self._part].copy())

    def _draw_batch(self, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Draw the faces of all processes; this is the first use of ``rng``."""
        size = self._recipe.optimiser.batch_size
        sources = rng.choice(len(self._sources), size, p=self._chances.shares)
        return [(int(s), self._draw_row(s, rng)) for s in sources]

    def _draw_row(self, s: int, rng: np.random.Generator) -> int:
        cumulative = self._cumulative[s]
        row = int(np.searchsorted(cumulative, rng.random(), "right"))
        return min(row, len(cumulative) - 1)  # the sum may fall short of 1 by a rounding

    def _mixture(self, drawn: Drawn, rng: np.random.Generator) -> Mixture:
        alpha = self._recipe.augment.mixup
        if not alpha:
            return unmixed(len(drawn))
        known = [
            tuple(bool(rows[row].any()) for rows in self._targets[s].values()) for s, row in drawn
        ]
        return mixture(known, alpha, rng)

    def _fresh(
        self, drawn: Drawn, side: int, rng: np.random.Generator, mixed: Mixture
    ) -> torch.Tensor:
        """Make a new random variant of each picture."""
        aligner = Aligner(side, self._recipe.alignment)
        # Each picture has its own random stream, so a process makes only its own pictures and the
        # partners that they are mixed with.
        streams = rng.spawn(len(drawn))

        @functools.cache
        def picture(n: int) -> Image:
            return self._picture(*drawn[n], aligner, streams[n])

        return _stacked([mixed.picture(n, picture) for n in range(len(drawn))[self._part]])

    def _fixed(
        self, drawn: Drawn, side: int, rng: np.random.Generator, mixed: Mixture
    ) -> torch.Tensor:
        """Take a random view of each picture, or its activations."""
        del mixed  # a recipe with views and mixup is refused
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
        return augmented(image, face, aligner, self._recipe.augmentation, rng)


def views_of(source: Source, recipe: Recipe) -> Views:
    """Return the fixed views of a source's faces."""
    return Views(source.faces.name, source.faces.files, source.rows, source.store, recipe)


def _stacked(pictures: Sequence[Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def total_steps(recipe: Recipe) -> int:
    """Return the number of optimiser steps of a whole run."""
    return -(-recipe.optimiser.images // recipe.optimiser.step_images)


def size_at(step: int, recipe: Recipe) -> int:
    """Return the side of the pictures at a step, in pixels.

    Small pictures come first, since they cost less and teach as much.
    """
    ends = np.cumsum(recipe.stage_shares) * total_steps(recipe)
    stage = min(int((step >= ends - 1e-6).sum()), len(recipe.sizes) - 1)
    return recipe.sizes[stage]


def loader(dataset: StepBatches, first_step: int) -> Iterator[list[Batch]]:
    """Yield the batches of each step from ``first_step`` to the end.

    Another process makes pictures ahead. Activations are only read, in this process: that costs
    less than to hand them over.
    """
    # OpenCV's threads do not survive the fork: the other process would wait for them forever.
    cv2.setNumThreads(1)
    batches = iter(
        DataLoader(
            dataset,
            batch_size=None,
            sampler=range(first_step * dataset.accumulate, len(dataset)),
            **({} if dataset.reads else _AHEAD),
        )
    )
    while group := list(islice(batches, dataset.accumulate)):
        yield group


_AHEAD: Mapping[str, Any] = {
    "num_workers": 1,
    "prefetch_factor": 4,
    "multiprocessing_context": "fork",
}
