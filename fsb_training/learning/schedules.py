"""The learning rate and the end of a run: functions of the step and of the validations so far.

step --> warm-up: linear --> then SCHEDULES[optimiser.schedule] x optimiser.learning_rate
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from fsb_perception.registry import Registry
from fsb_training.recipe_options import OptimiserOptions

PLATEAU_FACTOR = 0.1


@dataclass
class Looks:
    """The history of looks at the validation split; the checkpoint holds it.

    Attributes:
        best: the highest score so far; -1 before the first look.
        since_best: looks after the best one.
        since_drop: looks since the best one or since the rate last fell, whichever was later.
        drops: how often the rate fell.
    """

    best: float = -1.0
    since_best: int = 0
    since_drop: int = 0
    drops: int = 0

    def add(self, score: float, options: OptimiserOptions) -> bool:
        """Count a look; return True if it is the best one."""
        if score > self.best:
            self.best, self.since_best, self.since_drop = score, 0, 0
            return True
        self.since_best += 1
        self.since_drop += 1
        if options.schedule == "plateau" and self.since_drop >= options.plateau_looks:
            self.drops, self.since_drop = self.drops + 1, 0
        return False

    def enough(self, options: OptimiserOptions) -> bool:
        """Return True if the run ends here for lack of progress."""
        return 0 < options.patience <= self.since_best


def _cosine(share: float, drops: int) -> float:
    del drops
    return 0.5 * (1 + math.cos(math.pi * share))


def _plateau(share: float, drops: int) -> float:
    del share
    return PLATEAU_FACTOR**drops


def _constant(share: float, drops: int) -> float:
    del share, drops
    return 1.0


SCHEDULES: Registry[Callable[[float, int], float]] = Registry(
    "schedule", {"cosine": _cosine, "plateau": _plateau, "constant": _constant}
)
"""Factor of the rate behind the warm-up, from the finished share in [0, 1] and the drops."""


def learning_rate(step: int, options: OptimiserOptions, drops: int = 0) -> float:
    """Return the rate of a step: a linear warm-up, then the schedule.

    Args:
        step: number of finished steps.
        options: rate, schedule and number of pictures.
        drops: how often the plateau schedule lowered the rate.
    """
    seen = (step + 1) * options.step_images
    if seen < options.warmup_images:
        return options.learning_rate * seen / options.warmup_images
    rest = max(options.images - options.warmup_images, 1)
    share = min((seen - options.warmup_images) / rest, 1.0)
    return options.learning_rate * SCHEDULES[options.schedule](share, drops)
