"""Made-up records of runs."""

from __future__ import annotations

import numpy as np

from fsb_training.experiments.plan import MAIN, Cell
from fsb_training.experiments.records import Record, cell_entry, pack, pack_map

TASKS = ("gender", "age_group", "emotion")
SPIRAL = (
    np.array([(n * np.sin(n), n * np.cos(n)) for n in range(40)], np.float32),
    np.arange(40) % 2,
)


def _mapped(cell: Cell) -> bool:
    return (cell.study, cell.system, cell.seed) == (MAIN, "LoRA", 0) and len(cell.tasks) > 1


def record(cell: Cell, accuracy: float = 0.8, faces: int = 400) -> Record:
    """Make the record of a run whose first answers are right, ``accuracy`` of all."""
    hits = np.arange(faces) < round(accuracy * faces)
    row = {
        "accuracy": float(hits.mean()),
        "balanced_accuracy": accuracy - 0.1,
        "macro_f1": accuracy - 0.12,
        "within_one_accuracy": min(accuracy + 0.1, 1.0),
        "ece": 0.02,
        "ece_before": 0.05,
        "count": faces,
    }
    return Record(
        cell=cell_entry(cell),
        budget={"faces": 8000, "visits": 6, "size": 64, "rank": 8, "views": 6, "threads": 1},
        origin={"weights": "abc", "recipe": "def"},
        parameters={"total": 1000, "trained": 100, "added": 10},
        cost={
            "training_seconds": 12.5,
            "training_bytes": 5_000_000,
            "milliseconds_a_face": {"1": 3.21, "8": 1.5},
            "weights_bytes": 16_000_000,
            "text_bytes": 28_000_000,
        },
        metrics={task: dict(row) for task in cell.tasks},
        hits={task: pack(hits) for task in cell.tasks},
        maps={task: pack_map(*SPIRAL) for task in cell.tasks} if _mapped(cell) else {},
        counts={"adapt": {"FairFace": 10, "FERPlus": 5}, "test": {"FairFace": 7}},
    )
