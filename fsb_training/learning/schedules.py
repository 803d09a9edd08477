"""The learning rate, and when a run has learned enough: functions of steps and looks at dev."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fsb_training.recipe_options import OptimiserOptions

PLATEAU_FACTOR = 0.1


@dataclass
class Looks:
    """What the looks at the validation split have come to; it goes into the checkpoint.

    Attributes:
        best: the highest score so far; -1 before the first.
        since_best: looks after it that were no better.
        since_drop: looks that were no better since the best or since the rate last fell.
        drops: how often the rate fell.
    """

    best: float = -1.0
    since_best: int = 0
    since_drop: int = 0
    drops: int = 0

    def add(self, score: float, options: OptimiserOptions) -> bool:
        """Count a look; whether it is the best one."""
        if score > self.best:
            self.best, self.since_best, self.since_drop = score, 0, 0
            return True
        self.since_best += 1
        self.since_drop += 1
        if options.schedule == "plateau" and self.since_drop >= options.plateau_looks:
            self.drops, self.since_drop = self.drops + 1, 0
        return False

    def enough(self, options: OptimiserOptions) -> bool:
        """Whether the run ends here."""
        return 0 < options.patience <= self.since_best


def learning_rate(step: int, options: OptimiserOptions, drops: int = 0) -> float:
    """Linear warm-up; then half a cosine to zero, a tenth for each of ``drops``, or flat."""
    seen = (step + 1) * options.step_images
    if seen < options.warmup_images:
        return options.learning_rate * seen / options.warmup_images
    if options.schedule != "cosine":
        return options.learning_rate * PLATEAU_FACTOR**drops
    rest = max(options.images - options.warmup_images, 1)
    share = min((seen - options.warmup_images) / rest, 1.0)
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
