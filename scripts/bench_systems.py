"""The systems whose encoders are measured. Weights are random: the cost does not depend on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from fsb_perception.adapters import adapter_config
from fsb_perception.model import deployed_encoder
from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.towers.filling import fill

BARE = "bare tower"


@dataclass(frozen=True)
class System:
    """A deployed system and what it may cost.

    Attributes:
        settings: of the adapter, as in a manifest.
        limit: of its latency over the bare tower's, on towers of twelve blocks.
        head: row of `fsb_perception.heads`.
    """

    settings: Mapping[str, Any] = field(hash=False)
    limit: float | None = None
    head: str = "mlp"


SYSTEMS = {
    "merged (LoRA)": System({"method": "lora"}, 1.03),
    "zero-shot": System({"method": "zero-shot"}, 1.03, head="text"),
    "MTLoRA matrix 4 blocks": System({"method": "mtlora", "mode": "matrix", "blocks": 4}, 1.5),
    "MTLoRA matrixv2 4 blocks": System({"method": "mtlora", "mode": "matrixv2", "blocks": 4}, 1.5),
    "MTLoRA exact 4 blocks": System({"method": "mtlora", "mode": "exact", "blocks": 4}, 1.7),
    "VPT": System({"method": "vpt"}, 1.1),
    "VPT task-specific": System({"method": "vpt", "per_task": True}),
    "V2PT": System({"method": "v2pt"}),
}
"""Systems by the name that the table shows and ``--systems`` takes."""


def build_system(backbone: str, system: str) -> nn.Module:
    """Build the bare tower or a system's encoder as a robot runs it, with random weights."""
    with torch.device("meta"):
        model = _structure(backbone, system)
    # Plain noise: the towers' own initialisation takes many times as long and runs no faster.
    state = model.state_dict().items()
    shapes = {name: tensor.shape for name, tensor in state if "num_batches" not in name}
    # Positive, for variances are among them.
    fill(model, {name: 0.04 * torch.rand(shape) for name, shape in shapes.items()})
    return model.eval().requires_grad_(False)


def _structure(backbone: str, system: str) -> nn.Module:
    if system == BARE:
        return BACKBONES[backbone].build()
    if system not in SYSTEMS:
        raise UnknownNameError("system", system, SYSTEMS)
    row = SYSTEMS[system]
    classes = {task.name: len(task.labels) for task in TASKS.values()}
    return deployed_encoder(backbone, adapter_config(row.settings), row.head, classes)
