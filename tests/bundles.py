"""Bundles with random weights, for tests that need a real encoder but not its knowledge."""

from __future__ import annotations

from pathlib import Path

import torch

from fsb_perception.bundles.bundle import Bundle, save_bundle
from fsb_perception.bundles.encoder import build_encoder
from fsb_perception.bundles.manifest import BundleTask, Manifest
from fsb_perception.bundles.preprocessing import Preprocessing
from fsb_perception.tasks import TASKS

# Options of the engine in tests that do not judge it: no graph is traced, no speed measured.
QUICK_ENGINE = {
    "engine.device": "cpu",
    "engine.precision": "fp32",
    "engine.threads": 1,
    "engine.max_batch": 2,
}


def random_bundle(
    folder: Path, *, seed: int = 0, temperature: float = 1.0, **fields: object
) -> Bundle:
    """A bundle of all tasks on the nano tower; ``fields`` go into its manifest."""
    torch.manual_seed(seed)
    shipped = [BundleTask(name=t.name, labels=t.labels, ordered=t.ordered) for t in TASKS.values()]
    tasks = [BundleTask.model_validate(task) for task in fields.get("tasks", shipped)]  # type: ignore[attr-defined]
    names = [task.name for task in tasks]
    manifest = Manifest.model_validate(
        {
            "name": "random",
            "backbone": "nano-vit-80",
            "tasks": tasks,
            "preprocessing": Preprocessing(size=80),
            "temperatures": dict.fromkeys(names, temperature),
            "licence": "none",
            "intended_use": "tests",
            "limits": "knows nothing",
        }
        | fields
    )
    return save_bundle(folder, manifest, build_encoder(manifest))
