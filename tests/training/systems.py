"""Every system on both families in miniature, and eight faces to learn by heart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from fsb_perception.adapters.softcpt import SoftCpt
from fsb_perception.tasks import TASKS
from fsb_perception.towers.backbones import BACKBONES
from fsb_training.learning.groups import parameter_groups
from fsb_training.learning.learner import Learner
from fsb_training.recipe import Recipe
from fsb_training.recipe_options import OptimiserOptions
from fsb_training.systems import SYSTEMS

# Smaller settings, for towers of four blocks and 64 channels.
_SMALL = {"partial": {"blocks": 2}, "mtlora": {"blocks": 2}, "softcpt": {"context": 5}}
_SMALL |= {name: {"text": SoftCpt(context=5)} for name in ("vpt-softcpt", "v2pt-softcpt")}
_RATES = {"V2PT": 5e-3, "VPT, text": 3e-2}


def recipe(
    system: str, backbone: str, tokenizer: Path, tasks: Sequence[str] = tuple(TASKS), **rest: object
) -> Recipe:
    """Return a recipe of a system on random weights, of rank 4, with unchanged labels."""
    row = SYSTEMS[system]
    adapter = row.adapter(4).model_copy(update=_SMALL.get(row.settings["method"], {}))
    values: dict[str, object] = {
        "name": "tiny",
        "backbone": backbone,
        "adapter": adapter,
        "head": row.head,
        "tasks": tuple(tasks),
        "sizes": (BACKBONES[backbone].size,),
        "stage_shares": (1.0,),
        "weights": {"tower": "random", "text": "random", "tokenizer": str(tokenizer)},
        "data": {"shares": {"FairFace": 1.0}},
        "weights_precision": "fp32",
        "optimiser": OptimiserOptions(
            # No decay: it moves weights that nothing was learned of.
            learning_rate=_RATES.get(system, 1e-2),
            warmup_images=0,
            weight_decay=0.0,
        ),
        "loss": {"dropout": 0.0, "label_smoothing": 0.0, "weighting": "uncertainty"},
        "licence": "none",
        "intended_use": "tests",
        "limits": "knows eight faces",
    }
    return Recipe.model_validate(values | rest)


def learner(chosen: Recipe, seed: int = 0) -> Learner:
    """Return the learner that a run of the recipe begins with."""
    torch.manual_seed(seed)
    return Learner(chosen)


def optimiser_of(model: Learner, chosen: Recipe) -> torch.optim.Optimizer:
    """Return the optimiser that the trainer uses."""
    groups = parameter_groups(
        model.named_parameters(), chosen.optimiser, chosen.adapter, chosen.loss.weights_rate
    )
    return torch.optim.AdamW(groups)


def faces(backbone: str, count: int = 8, seed: int = 0, size: int = 0) -> torch.Tensor:
    """Return pictures of noise, float32 (n, 3, s, s); by default of the backbone's size."""
    size = size or BACKBONES[backbone].size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def labels(
    tasks: Sequence[str], count: int = 8, without: str = "", classes: int = 2
) -> dict[str, torch.Tensor]:
    """Return one-hot rows of the first ``classes`` in turn; zeros for the task ``without``."""
    rows = {
        name: torch.eye(len(TASKS[name].labels))[torch.arange(count) % classes] for name in tasks
    }
    return {name: row * (name != without) for name, row in rows.items()}
