"""From a finished run to a calibrated bundle that says what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsb_perception import __version__
from fsb_perception.adapters import adapter_settings
from fsb_perception.bundles.bundle import Bundle, load_bundle, save_bundle
from fsb_perception.bundles.manifest import FORMAT_VERSION, BundleTask, Manifest, TrainingData
from fsb_perception.inference.engine import Engine, EngineConfig
from fsb_perception.model import MultitaskEncoder
from fsb_perception.tasks import TASKS
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.types import Floats
from fsb_training.data.batches import Source
from fsb_training.data.sources import filter_records, training_counts
from fsb_training.datasets import DATASETS
from fsb_training.judging import evaluate
from fsb_training.judging.metrics import match_confidence
from fsb_training.learning.assembly import deploy
from fsb_training.learning.validation import dev_logits, preprocessing_of
from fsb_training.recipe import Recipe

_FOR_LOGS = ("nll", "brier")


def export(
    recipe: Recipe,
    encoder: MultitaskEncoder,
    folder: Path,
    sources: Sequence[Source],
    dev: Sequence[Source],
) -> Bundle:
    """Calibrate on the validation split, save, and measure what was saved with the robot's engine.

    One temperature a task, at which confidence is accuracy on average, is fitted on the very faces
    that the manifest's ECE is then measured on: one number from thousands of faces flatters it
    little, but it is not a held-out figure.
    """
    device = next(encoder.parameters()).device
    encoder = deploy(encoder, recipe.adapter).to(device)
    logits = dev_logits(encoder, recipe, dev, recipe.sizes[-1])
    temperatures = {task: _temperature(task, logits, dev) for task in recipe.tasks}
    filtered = filter_records(sources)
    manifest = manifest_of(recipe, temperatures, training_counts(sources), filtered)
    bundle = save_bundle(folder, manifest, encoder, recipe.weights_precision)
    metrics = measure(bundle, dev)
    labelled = {f"{name}:dev": tasks for name, tasks in metrics.items()}
    measured = manifest.model_copy(update={"metrics": labelled})
    return save_bundle(folder, measured, encoder, recipe.weights_precision)


def measure(
    bundle: Bundle, sources: Sequence[Source], config: EngineConfig | None = None
) -> evaluate.Metrics:
    """Metrics of a bundle by data set and task, through the engine that the robot runs.

    Those that people read: the likelihoods, which are for comparing runs, stay in their logs.
    """
    found = evaluate.judge(answers(bundle, sources, config), sources)
    return {
        name: {
            task: {metric: row[metric] for metric in row if metric not in _FOR_LOGS}
            for task, row in tasks.items()
        }
        for name, tasks in found.items()
    }


def answers(
    bundle: Bundle, sources: Sequence[Source], config: EngineConfig | None = None
) -> dict[str, dict[str, Floats]]:
    """Calibrated probabilities (n, classes) by data set and task."""
    engine = Engine(bundle, config or EngineConfig(max_batch=64))
    return {
        source.faces.name: evaluate.run(source, engine.aligner, engine.encode, progress=True)
        for source in sources
    }


def _temperature(task: str, logits: dict[str, dict[str, Floats]], dev: Sequence[Source]) -> float:
    """Over all data sets that have the task, each face counting once."""
    rows, labels = evaluate.together(logits, dev, task)
    return round(match_confidence(rows, labels), 4) if len(labels) else 1.0


def manifest_of(
    recipe: Recipe,
    temperatures: dict[str, float],
    counts: dict[str, int],
    filtered: Mapping[str, Any] | None = None,
) -> Manifest:
    """What a bundle of this recipe says of itself before anything is measured.

    Args:
        recipe: as it was trained.
        temperatures: by task.
        counts: faces learned from, by data set.
        filtered: what filters did to each data set, where there were any.
    """
    row = BACKBONES[recipe.backbone]
    return Manifest(
        format_version=FORMAT_VERSION,
        name=recipe.name,
        backbone=recipe.backbone,
        adapter=adapter_settings(recipe.adapter.for_backbone(row)),
        head=recipe.head,
        tasks=tuple(
            BundleTask(name=task, labels=TASKS[task].labels, ordered=TASKS[task].ordered)
            for task in recipe.tasks
        ),
        preprocessing=preprocessing_of(recipe, recipe.sizes[-1]),
        temperatures=temperatures,
        training_data=_training_data(recipe, counts),
        recipe={
            "fsb": __version__,
            **_public(recipe),
            **({"filtered": filtered} if filtered else {}),
        },
        licence=recipe.licence,
        intended_use=recipe.intended_use,
        limits=recipe.limits,
    )


def _training_data(recipe: Recipe, counts: Mapping[str, int]) -> tuple[TrainingData, ...]:
    """What this run learned from, and before it the bundle that it went on from."""
    weights = recipe.weights
    before = load_bundle(weights.bundle, weights.allow_download) if weights.bundle else None
    found = {entry.name: entry for entry in (before.manifest.training_data if before else ())}
    for name, count in counts.items():
        most = max(count, found[name].count) if name in found else count
        found[name] = TrainingData(name=name, count=most, licence=DATASETS[name].licence)
    return tuple(found.values())


def _public(recipe: Recipe) -> dict[str, object]:
    """The recipe without the folders of the machine that trained it."""
    said = recipe.model_dump(mode="json", exclude={"licence", "intended_use", "limits"})
    for folder in ("root", "cache"):
        said["data"].pop(folder)
    weights, filters = said["weights"], said["data"]["filters"]
    for part in ("tower", "text", "tokenizer", "bundle"):
        weights[part] = Path(weights[part]).name
    for group, part in (("agreement", "predictions"), ("celebrities", "identities")):
        filters[group][part] = Path(filters[group][part]).name
    return said
