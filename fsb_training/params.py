"""The parameters that each system has, trains and adds, and the memory that training takes.

Everything is built on torch's meta device, which keeps shapes without numbers. So the largest tower
is counted in seconds and without its weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fsb_perception.adapters.base import AdapterConfig
from fsb_perception.model import deployed_encoder
from fsb_perception.options import OptionError
from fsb_perception.tasks import TASKS
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.towers.text import build_text_tower, text_config
from fsb_training.learning.assembly import TextSide, adapted_encoder
from fsb_training.memory import training_bytes
from fsb_training.recipe import check_head, check_tasks
from fsb_training.systems import SYSTEMS


@dataclass(frozen=True)
class Size:
    """The size of one system.

    >>> Size("LoRA", total=320, trained=8).share
    0.025

    Attributes:
        system: its name.
        total: parameters while training, with heads and the text tower if one is needed.
        trained: the parameters that learn.
        added: numbers that the robot loads beyond the bare tower: heads, text features, and the
            parts of the adapter that do not merge.
        memory: bytes to train; see `fsb_training.memory.training_bytes`.
        refusal: the reason why this backbone cannot do it; then the rest is zero.
    """

    system: str
    total: int = 0
    trained: int = 0
    added: int = 0
    memory: int = 0
    refusal: str = ""

    @property
    def share(self) -> float:
        """The share of the parameters that learns, in [0, 1]."""
        return self.trained / self.total if self.total else 0.0


def sizes(backbone: str, rank: int, tasks: Sequence[str], batch_size: int = 16) -> Iterator[Size]:
    """Yield the size of every system of `SYSTEMS` on a backbone.

    Args:
        backbone: row of `BACKBONES`.
        rank: of the systems that take one.
        tasks: their names.
        batch_size: pictures in the step whose memory is counted.

    Raises:
        UnknownNameError: an unknown backbone or task.
        OptionError: a rank below 1.
    """
    BACKBONES[backbone]
    check_tasks(tasks)
    adapters = {name: system.adapter(rank) for name, system in SYSTEMS.items()}
    return (
        Size(name, refusal=refusal)
        if (refusal := _refusal(adapter, SYSTEMS[name].head, backbone, tasks))
        else size(name, adapter, SYSTEMS[name].head, backbone, tasks, batch_size)
        for name, adapter in adapters.items()
    )


def _refusal(adapter: AdapterConfig, head: str, backbone: str, tasks: Sequence[str]) -> str:
    """Return the reason why a backbone cannot do it; "" if it can."""
    try:
        adapter.check(BACKBONES[backbone], tasks)
        check_head(backbone, head)
    except OptionError as error:
        return str(error)
    return ""


def size(
    name: str,
    adapter: AdapterConfig,
    head: str,
    backbone: str,
    tasks: Sequence[str],
    batch_size: int = 16,
) -> Size:
    """Return the size of an adapter on a backbone.

    Args:
        name: of the system.
        adapter: with its options.
        head: row of `fsb_perception.heads`.
        backbone: row of `BACKBONES`.
        tasks: their names.
        batch_size: pictures in the step whose memory is counted.
    """
    row, adapter = BACKBONES[backbone], adapter.without_values()
    with torch.device("meta"):
        tower = row.build()
        bare = stored(tower)
        text = _uncut_text(backbone) if head == "text" else None
        encoder = adapted_encoder(backbone, adapter, head, tasks, tower, text)
        classes = {task: len(TASKS[task].labels) for task in tasks}
        deployed = deployed_encoder(backbone, adapter, head, classes)
    total, trained = count(encoder), count(encoder, trained=True)
    memory = training_bytes(encoder, (batch_size, 3, row.size, row.size))
    return Size(name, total, trained, stored(deployed) - bare, memory)


def _uncut_text(backbone: str) -> TextSide:
    """Build a text tower on the current device, and a tokenizer whose ids mean nothing.

    Sizes do not depend on words.
    """
    row = BACKBONES[backbone]
    context = text_config(row)["context_length"]

    def tokenize(texts: Sequence[str], context_length: int | None = None) -> torch.Tensor:
        rows = torch.zeros(len(texts), context_length or context, dtype=torch.long, device="cpu")
        for row, text in zip(rows, texts, strict=True):
            row[: len(text.split()) + 2] = 1
        return rows

    return TextSide(build_text_tower(row).requires_grad_(False).eval(), tokenize)


def stored(module: nn.Module) -> int:
    """Count the numbers of a module that a bundle holds."""
    tensors = module.state_dict().items()
    return sum(tensor.numel() for name, tensor in tensors if "num_batches_tracked" not in name)


def count(module: nn.Module, trained: bool = False) -> int:
    """Count the parameters of a module, or those that train."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)
