"""The encoder of a recipe in its training form, and the one that a robot runs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsb_perception.adapters.base import AdapterConfig, LearningHead
from fsb_perception.heads import build_head
from fsb_perception.model import MultitaskEncoder
from fsb_perception.options import OptionError
from fsb_perception.tasks import TASKS
from fsb_perception.towers.backbones import BACKBONES
from fsb_training.learning.checkpoint_files import take_text
from fsb_training.recipe import Recipe
from fsb_training.recipe_options import WeightOptions

if TYPE_CHECKING:
    from torch import nn

    from fsb_perception.towers.text import Tokenizer


@dataclass(frozen=True)
class TextSide:
    """A text tower, and the tokenizer that it was trained with."""

    tower: nn.Module
    tokenize: Tokenizer


def assemble(recipe: Recipe) -> MultitaskEncoder:
    """Build the encoder of a recipe in its training form; its parameters say whether they train.

    Raises:
        WeightsError: weights that the recipe names are missing, or do not fit.
        OptionError: the backbone cannot do what the recipe asks.
        TrainingError: the run of ``weights.prompts`` is missing or does not fit.
    """
    from fsb_perception.towers.weights import load_tower

    # The text comes first: it is missing most often. It is dropped again unless it trains.
    text = open_text(recipe.backbone, recipe.weights) if recipe.head == "text" else None
    weights = recipe.weights
    before = earlier(recipe) if weights.bundle else None
    tower = (
        before.tower
        if before
        else load_tower(recipe.backbone, weights.tower, weights.allow_download)
    )
    encoder = adapted_encoder(
        recipe.backbone, recipe.adapter, recipe.head, recipe.tasks, tower, text, recipe.loss.dropout
    )
    if before:
        take_heads(encoder, before)
    if weights.prompts:
        take_text(encoder, Path(weights.prompts))
    return encoder


def earlier(recipe: Recipe) -> MultitaskEncoder:
    """Load the encoder of the bundle that a recipe continues from.

    Raises:
        BundleError: the bundle is missing or damaged.
        OptionError: it has another backbone, or its adapter leaves no plain tower.
    """
    from fsb_perception.adapters import adapter_config
    from fsb_perception.bundles.bundle import load_bundle

    bundle = load_bundle(recipe.weights.bundle, recipe.weights.allow_download)
    manifest = bundle.manifest
    if manifest.backbone != recipe.backbone:
        raise OptionError(
            f"weights.bundle: {bundle.name} is a {manifest.backbone}, the recipe's backbone is "
            f"{recipe.backbone}: make them the same"
        )
    if not adapter_config(manifest.adapter).merges:
        raise OptionError(
            f"weights.bundle: {bundle.name} was made by {manifest.adapter['method']}, which leaves "
            "no plain tower to continue from: take a bundle of another adapter"
        )
    return bundle.build_model()


def take_heads(encoder: MultitaskEncoder, before: MultitaskEncoder) -> None:
    """Copy the weights of each head of ``before`` to the head of ``encoder`` of the same shapes."""
    for task, head in encoder.heads.items():
        if task in before.heads:
            state = before.heads[task].state_dict()
            shapes = {name: tensor.shape for name, tensor in state.items()}
            if shapes == {name: tensor.shape for name, tensor in head.state_dict().items()}:
                head.load_state_dict(state)


def open_text(backbone: str, weights: WeightOptions) -> TextSide:
    """Load the text side of a backbone, frozen.

    Raises:
        WeightsError: the weights or the tokenizer are missing, or do not fit.
    """
    from fsb_perception.towers.text import tokenizer
    from fsb_perception.towers.weights import load_text_tower

    tokenize = tokenizer(BACKBONES[backbone], weights.tokenizer, weights.allow_download)
    tower = load_text_tower(backbone, weights.text or weights.tower, weights.allow_download)
    return TextSide(tower.requires_grad_(False).eval(), tokenize)


def adapted_encoder(
    backbone: str,
    adapter: AdapterConfig,
    head: str,
    tasks: Sequence[str],
    tower: nn.Module,
    text: TextSide | None = None,
    dropout: float = 0.0,
) -> MultitaskEncoder:
    """Build an encoder in its training form.

    Args:
        backbone: row of `BACKBONES` that ``tower`` belongs to.
        adapter: prepares the tower, and makes heads that learn from text.
        head: row of `fsb_perception.heads`.
        tasks: in the order of the heads.
        tower: float32; changed in place.
        text: for "text" heads.
        dropout: of the heads.
    """
    row = BACKBONES[backbone]
    adapter.check(row, tasks)
    adapted = adapter.for_backbone(row).adapt(tower, tasks)
    if head != "text":
        rows = [TASKS[task] for task in tasks]
        heads = {
            task.name: build_head(head, row.width, len(task.labels), dropout, task.ordered)
            for task in rows
        }
        return MultitaskEncoder(adapted, heads)
    assert text is not None, "text heads need a text side"
    shared, heads = adapter.text_heads(tasks, text.tower, text.tokenize)
    return MultitaskEncoder(adapted, heads, shared)


def deploy(encoder: MultitaskEncoder, adapter: AdapterConfig) -> MultitaskEncoder:
    """Return a copy as the robot runs it: merged in float32, text frozen into features.

    Args:
        encoder: in its training form; left as it is.
        adapter: the adapter that made it.

    Returns:
        On the CPU, in evaluation, without gradients.
    """
    trained = copy.deepcopy(encoder).cpu().float().eval()
    ready = with_frozen_heads(trained)
    ready.tower = adapter.merge(trained.tower)
    return ready.requires_grad_(False).eval()


def with_frozen_heads(encoder: MultitaskEncoder) -> MultitaskEncoder:
    """Return an encoder with the same tower and heads that need no text tower."""
    heads = {task: _frozen(head) for task, head in encoder.heads.items()}
    return MultitaskEncoder(encoder.tower, heads)


def _frozen(head: nn.Module) -> nn.Module:
    """Return a head without a text tower behind it."""
    return head.frozen() if isinstance(head, LearningHead) else head
