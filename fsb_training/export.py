"""Export: from a finished run to a calibrated bundle with its measured metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fsb_perception import __version__
from fsb_perception.adapters import adapter_settings
from fsb_perception.bundles.bundle import Bundle, load_bundle, save_bundle
from fsb_perception.bundles.manifest import FORMAT_VERSION, BundleTask, Manifest, TrainingData
from fsb_perception.inference.config import EngineConfig
from fsb_perception.inference.engine import Engine
from fsb_perception.model import MultitaskEncoder
from fsb_perception.progress import SILENT, Progress
from fsb_perception.tasks import TASKS
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.types import Floats
from fsb_training.data.faces import Source
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
    progress: Progress = SILENT,
) -> Bundle:
    """Calibrate on the validation split, save, and measure the saved bundle by the robot's engine.

    Each task gets one temperature, at which the mean confidence equals the accuracy. The ECE in the
    manifest is measured on the same faces: one number fitted on thousands of faces makes it look
    only slightly better, but it is not a held-out figure.

    Args:
        recipe: as it was trained.
        encoder: in its training form.
        folder: of the bundle.
        sources: the faces that were learned from, for the manifest.
        dev: the validation split.
        progress: of the faces that are judged.

    Raises:
        BundleError: the bundle cannot be written.
    """
    device = next(encoder.parameters()).device
    encoder = deploy(encoder, recipe.adapter).to(device)
    logits = dev_logits(encoder, recipe, dev, recipe.sizes[-1])
    temperatures = {task: _temperature(task, logits, dev) for task in recipe.tasks}
    filtered = filter_records(sources)
    manifest = manifest_of(recipe, temperatures, training_counts(sources), filtered)
    bundle = save_bundle(folder, manifest, encoder, recipe.weights_precision)
    metrics = measure(bundle, dev, progress)
    measured = {f"{name}:dev": tasks for name, tasks in metrics.items()}
    manifest = manifest.model_copy(update={"metrics": measured})
    return save_bundle(folder, manifest, encoder, recipe.weights_precision)


def measure(
    bundle: Bundle, sources: Sequence[Source], progress: Progress = SILENT
) -> evaluate.Metrics:
    """Return metrics of a bundle by data set and task, measured by the engine that the robot runs.

    The likelihoods are left out: they serve to compare runs, whose logs have them.
    """
    metrics = evaluate.judge(answers(bundle, sources, progress=progress), sources)
    return {
        name: {
            task: {metric: row[metric] for metric in row if metric not in _FOR_LOGS}
            for task, row in tasks.items()
        }
        for name, tasks in metrics.items()
    }


def answers(
    bundle: Bundle,
    sources: Sequence[Source],
    config: EngineConfig | None = None,
    progress: Progress = SILENT,
) -> dict[str, dict[str, Floats]]:
    """Return calibrated probabilities (n, classes) by data set and task."""
    engine = Engine(bundle, config or EngineConfig(max_batch=64))
    return {
        source.faces.name: evaluate.run(source, engine.aligner, engine.encode, progress)
        for source in sources
    }


def _temperature(task: str, logits: dict[str, dict[str, Floats]], dev: Sequence[Source]) -> float:
    """Fit one temperature over all data sets that have the task; each face counts once."""
    rows, labels = evaluate.together(logits, dev, task)
    return round(match_confidence(rows, labels), 4) if len(labels) else 1.0


def manifest_of(
    recipe: Recipe,
    temperatures: dict[str, float],
    counts: dict[str, int],
    filtered: Mapping[str, object] | None = None,
) -> Manifest:
    """Return the manifest of a bundle before its metrics are measured.

    Args:
        recipe: as it was trained.
        temperatures: by task.
        counts: number of faces learned from, by data set.
        filtered: the effect of the filters by data set, where there were any.
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
    """Return the data of this run, and of the bundle that it went on from."""
    weights = recipe.weights
    before = load_bundle(weights.bundle, weights.allow_download) if weights.bundle else None
    entries = {entry.name: entry for entry in (before.manifest.training_data if before else ())}
    for name, count in counts.items():
        most = max(count, entries[name].count) if name in entries else count
        entries[name] = TrainingData(name=name, count=most, licence=DATASETS[name].licence)
    return tuple(entries.values())


def _public(recipe: Recipe) -> dict[str, object]:
    """Return the recipe without the folders of the machine that trained it."""
    values = recipe.model_dump(mode="json", exclude={"licence", "intended_use", "limits"})
    for folder in ("root", "cache"):
        values["data"].pop(folder)
    weights, filters = values["weights"], values["data"]["filters"]
    for part in ("tower", "text", "tokenizer", "bundle"):
        weights[part] = Path(weights[part]).name
    for group, part in (("agreement", "predictions"), ("celebrities", "identities")):
        filters[group][part] = Path(filters[group][part]).name
    return values
