"""Accuracy and cost of a finished run, on faces that no choice was based on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch.utils.benchmark import Timer

from fsb_perception.model import MultitaskEncoder
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.towers.text import build_text_tower
from fsb_perception.types import Floats
from fsb_training.data.faces import Source
from fsb_training.judging.evaluate import together
from fsb_training.judging.metrics import fit_temperature, task_metrics
from fsb_training.learning.validation import dev_logits, preprocessing_of
from fsb_training.recipe import Recipe
from fsb_training.report.features import FeatureMap, Tower, feature_maps

Answers = dict[str, tuple[Floats, NDArray[np.int64]]]
"""Logits (n, classes) and true labels (n,) by task, over all data sets."""

BATCHES = (1, 8)
_SECONDS = 0.3  # time spent on timing each number of faces


def answers(encoder: MultitaskEncoder, recipe: Recipe, sources: Sequence[Source]) -> Answers:
    """Return the logits of the encoder for every labelled face."""
    logits = dev_logits(encoder, recipe, sources, recipe.sizes[-1])
    return {task: together(logits, sources, task) for task in recipe.tasks}


def judged(test: Answers, dev: Answers) -> dict[str, dict[str, float]]:
    """Return metrics by task at temperatures fitted on ``dev``; ece_before is at temperature 1."""
    metrics = {}
    for task, (logits, true) in test.items():
        temperature = fit_temperature(*dev[task])
        raw = task_metrics(task, softmax(logits, axis=1), true)
        scaled = task_metrics(task, softmax(logits / temperature, axis=1), true)
        metrics[task] = {**scaled, "ece_before": raw["ece"], "temperature": temperature}
    return metrics


def hits(test: Answers) -> dict[str, NDArray[np.bool_]]:
    """Return bool (n,) by task: True for a right answer."""
    return {task: logits.argmax(axis=1) == true for task, (logits, true) in test.items()}


def feature_maps_of(
    encoder: MultitaskEncoder, recipe: Recipe, sources: Sequence[Source], most: int
) -> list[FeatureMap]:
    """Compute one t-SNE map a task, of at most ``most`` faces."""
    preprocessing = preprocessing_of(recipe, recipe.sizes[-1])
    tower = Tower(recipe.name, encoder.tower, preprocessing, BACKBONES[recipe.backbone].patch)
    return feature_maps(tower, recipe.tasks, sources, most)


def milliseconds_a_face(encoder: MultitaskEncoder, size: int) -> dict[str, float]:
    """Return the median time of a forward pass, divided by the number of faces, by that number."""
    times = {}
    for count in BATCHES:
        pixels = torch.zeros(count, 3, size, size)
        with torch.inference_mode():
            timer = Timer("encoder(pixels)", globals={"encoder": encoder, "pixels": pixels})
            median = timer.blocked_autorange(min_run_time=_SECONDS).median
        times[str(count)] = round(1e3 * median / count, 3)
    return times


def tower_bytes(encoder: MultitaskEncoder, backbone: str) -> dict[str, int]:
    """Return the float32 bytes of the weights that a robot loads, and of the text tower."""
    with torch.device("meta"):
        text = build_text_tower(BACKBONES[backbone]) if BACKBONES[backbone].has_text else None
    return {
        "weights_bytes": _bytes(encoder),
        "text_bytes": 0 if text is None else _bytes(text),
    }


def _bytes(module: torch.nn.Module) -> int:
    return 4 * sum(tensor.numel() for tensor in module.state_dict().values())


def face_counts(parts: Mapping[str, Sequence[Source]]) -> dict[str, dict[str, int]]:
    """Return the number of faces by part and data set."""
    return {name: {s.faces.name: len(s) for s in sources} for name, sources in parts.items()}
