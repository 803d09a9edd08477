"""Validation: metrics of the averaged weights on the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import torch

from fsb_perception.bundles.preprocessing import Preprocessing
from fsb_perception.model import MultitaskEncoder
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.types import Floats, Image
from fsb_training.data.faces import Source
from fsb_training.judging import evaluate
from fsb_training.learning.assembly import with_frozen_heads
from fsb_training.recipe import Recipe


def validate(
    encoder: MultitaskEncoder, recipe: Recipe, dev: Sequence[Source], size: int
) -> evaluate.Metrics:
    """Return metrics by data set and task, before any calibration.

    Args:
        encoder: in its training form; takes pixels.
        recipe: of the run.
        dev: the faces of the validation split.
        size: side of the pictures in pixels.
    """
    logits = dev_logits(with_frozen_heads(encoder), recipe, dev, size)
    return evaluate.judge({name: _softmax(tasks) for name, tasks in logits.items()}, dev)


def score(metrics: evaluate.Metrics) -> float:
    """Return the mean over the tasks of balanced accuracy, each first averaged over its data sets.

    It is in [0, 1]; 0 if there are no metrics.
    """
    by_task: dict[str, list[float]] = {}
    for tasks in metrics.values():
        for task, numbers in tasks.items():
            by_task.setdefault(task, []).append(numbers["balanced_accuracy"])
    return fmean(map(fmean, by_task.values())) if by_task else 0.0


def dev_logits(
    encoder: MultitaskEncoder, recipe: Recipe, sources: Sequence[Source], size: int
) -> dict[str, dict[str, Floats]]:
    """Return logits (n, classes) by data set and task.

    Args:
        encoder: takes pixels; it is left in evaluation mode.
        recipe: of the run.
        sources: the faces.
        size: side of the pictures in pixels.
    """
    preprocessing = preprocessing_of(recipe, size)
    encoder.eval()
    device = next(encoder.parameters()).device

    def encode(aligned: Sequence[Image]) -> dict[str, Floats]:
        with torch.inference_mode():
            logits = encoder(torch.from_numpy(preprocessing.pixels(aligned)).to(device))
        return {task: rows.float().cpu().numpy() for task, rows in logits.items()}

    return {s.faces.name: evaluate.run(s, preprocessing.aligner, encode) for s in sources}


def preprocessing_of(recipe: Recipe, size: int) -> Preprocessing:
    """Return the preprocessing for the recipe's backbone at a side of ``size`` pixels."""
    row = BACKBONES[recipe.backbone]
    return Preprocessing(size=size, alignment=recipe.alignment, mean=row.mean, std=row.std)


def _softmax(tasks: dict[str, Floats]) -> dict[str, Floats]:
    from scipy.special import softmax

    return {task: softmax(rows, axis=1).astype(np.float32) for task, rows in tasks.items()}
