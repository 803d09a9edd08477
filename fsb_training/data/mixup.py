"""Mixup: a picture of a batch is blended with another one, and so are their targets.

Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.

    picture = w picture_i + (1 - w) picture_j       target = w target_i + (1 - w) target_j

Only faces that have labels of the same tasks are mixed, so a missing label never weakens a known
one: a row of targets still sums to 1 where the label is known, and to 0 where it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fsb_perception.types import Floats, Image


@dataclass(frozen=True)
class Mixture:
    """The partner of each face of a batch, and the weights of both.

    Attributes:
        partner: (n,), index of the other face; the face itself where it is not mixed.
        weight: (n,), the face's own share, in [0, 1].
    """

    partner: NDArray[np.int64]
    weight: NDArray[np.float64]

    def picture(self, n: int, pictures: Callable[[int], Image]) -> Image:
        """Return the blended picture of face ``n``; ``pictures`` makes any face's own picture."""
        other, own = int(self.partner[n]), float(self.weight[n])
        if other == n:
            return pictures(n)
        return cv2.addWeighted(pictures(n), own, pictures(other), 1 - own, 0)

    def targets(self, rows: Floats) -> Floats:
        """Return the blended targets.

        Args:
            rows: (n, classes), float32, of the faces alone; the result has the same form.
        """
        own = self.weight[:, None].astype(np.float32)
        return own * rows + (1 - own) * rows[self.partner]


def unmixed(size: int) -> Mixture:
    """Return the mixture of ``size`` faces that leaves each as it is."""
    return Mixture(np.arange(size), np.ones(size))


def mixture(known: Sequence[Hashable], alpha: float, rng: np.random.Generator) -> Mixture:
    """Draw a partner for every face, among those with labels of the same tasks.

    Args:
        known: of each face, the tasks that it has labels of.
        alpha: weights are drawn from Beta(alpha, alpha); below 1 most faces show clearly.
        rng: gives the same mixture from the same state.
    """
    groups: dict[Hashable, list[int]] = {}
    for row, tasks in enumerate(known):
        groups.setdefault(tasks, []).append(row)
    partner = np.arange(len(known))
    for rows in groups.values():
        partner[rows] = rng.permutation(rows)
    alone = partner == np.arange(len(known))
    return Mixture(partner, np.where(alone, 1.0, rng.beta(alpha, alpha, len(known))))
