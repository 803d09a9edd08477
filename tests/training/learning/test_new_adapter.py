"""A new adapter is one class and one row: groups, prefix, training and export follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

import fsb_perception.adapters
from fsb_perception.adapters import ADAPTERS, adapter_config
from fsb_perception.adapters.base import AdapterConfig, freeze
from fsb_perception.bundles.bundle import save_bundle
from fsb_perception.options import option
from fsb_perception.registry import Registry
from fsb_perception.towers.parts import inner_tower
from fsb_training.data.batches import Batch
from fsb_training.export import manifest_of
from fsb_training.learning import trainer
from fsb_training.learning.assembly import deploy
from fsb_training.learning.groups import parameter_groups
from fsb_training.learning.prefix import frozen_prefix
from fsb_training.recipe import Recipe
from tests.towers import MICRO
from tests.training import systems


class Gate(nn.Module):
    """A block whose output is scaled by channel and shifted by a product of two factors."""

    def __init__(self, inner: nn.Module, width: int, rank: int) -> None:
        super().__init__()
        self.inner = inner
        self.scale = nn.Parameter(torch.ones(1, width))
        self.down = nn.Parameter(torch.randn(rank, width) / width)
        self.up = nn.Parameter(torch.zeros(width, rank))

    def forward(self, tokens: torch.Tensor, **named: object) -> torch.Tensor:
        tokens = self.scale * self.inner(tokens, **named)
        return tokens + tokens @ self.down.T @ self.up.T


class Gates(AdapterConfig):
    """Gates behind the blocks from one on."""

    merges: ClassVar[bool] = False
    takes_rank: ClassVar[bool] = True
    faster: ClassVar[frozenset[str]] = frozenset({"up"})
    undecayed: ClassVar[frozenset[str]] = frozenset({"scale"})
    rank: int = option(2, "of the shift", ge=1)
    first: int = option(2, "the first block with a gate", ge=0)

    def adapt(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        blocks = inner_tower(freeze(tower)).blocks
        for index in range(self.first, len(blocks)):
            blocks[index] = Gate(blocks[index], 64, self.rank)
        return tower

    def rebuild(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        return self.adapt(tower, tasks)


@pytest.fixture(autouse=True)
def _row(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Registry("adapter", {**ADAPTERS, "gates": Gates})
    monkeypatch.setattr(fsb_perception.adapters, "ADAPTERS", table)


def chosen(backbone: str, **options: int) -> Recipe:
    recipe = systems.recipe("linear probing", backbone, Path())
    adapter = adapter_config({"method": "gates", **options})
    update = {"batch_size": 8, "images": 80, "precision": "fp32"}
    optimiser = recipe.optimiser.model_copy(update=update)
    return recipe.model_copy(update={"adapter": adapter, "optimiser": optimiser})


def test_groups_follow_from_what_the_class_declares() -> None:
    recipe = chosen(MICRO[0])
    learner = trainer.start(recipe).learner
    options = recipe.optimiser.model_copy(update={"weight_decay": 0.1, "loraplus_ratio": 6.0})
    names = {id(p): name.split(".")[-1] for name, p in learner.encoder.tower.named_parameters()}
    found = {
        names[id(p)]: (group["factor"], group["weight_decay"])
        for group in parameter_groups(learner.named_parameters(), options, recipe.adapter, 2e-3)
        for p in group["params"]
        if id(p) in names
    }
    assert found == {"scale": (1.0, 0.0), "down": (1.0, 0.1), "up": (6.0, 0.1)}


@pytest.mark.parametrize(
    ("first", "name"), [(0, "patch_embed"), (1, "blocks 1"), (3, "blocks 3"), (4, "tower")]
)
def test_the_prefix_ends_before_the_first_gate(first: int, name: str) -> None:
    recipe = chosen(MICRO[1], first=first)
    prefix = frozen_prefix(trainer.start(recipe).learner.encoder, recipe.adapter)
    assert prefix is not None
    assert prefix.name == name


@pytest.mark.parametrize("backbone", MICRO)
def test_it_trains_on_activations_and_ships(backbone: str, tmp_path: Path) -> None:
    recipe = chosen(backbone)
    seeing, reading = trainer.start(recipe), trainer.start(recipe)
    before = {name: p.detach().clone() for name, p in seeing.learner.named_parameters()}
    pixels, targets = systems.faces(backbone), systems.labels(recipe.tasks)
    prefix = frozen_prefix(reading.learner.encoder, recipe.adapter)
    assert prefix is not None
    activations = prefix.run(pixels)
    reading.learner.after = prefix.part
    for _ in range(2):
        loss = trainer.train_step(seeing, [Batch(pixels, targets)], recipe)
        assert trainer.train_step(reading, [Batch(activations, targets)], recipe) == loss
    moved = {n for n, p in seeing.learner.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {n for n, p in seeing.learner.named_parameters() if p.requires_grad}

    encoder = seeing.learner.encoder.eval()
    manifest = manifest_of(recipe, dict.fromkeys(recipe.tasks, 1.0), {})
    bundle = save_bundle(tmp_path, manifest, deploy(encoder, recipe.adapter), "fp32")
    assert bundle.manifest.adapter == {"method": "gates", "rank": 2, "first": 2}
    with torch.no_grad():
        expected, shipped = encoder(pixels), bundle.build_model()(pixels)
    for task, rows in expected.items():
        torch.testing.assert_close(shipped[task], rows, rtol=1e-5, atol=1e-6)
