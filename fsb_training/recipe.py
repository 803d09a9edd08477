"""A recipe: everything that `fsb-train fit` needs to know about one model, from a YAML file.

recipe_files: find and read the file, with all that it extends --> values by dotted name
load_recipe:  build a `Recipe`, whose options check themselves  --> check_recipe
check_recipe: refuse what backbone, adapter, head and losses cannot do together
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SerializeAsAny, field_serializer, field_validator, model_validator

from fsb_perception.adapters import adapter_config, adapter_settings
from fsb_perception.adapters.base import AdapterConfig
from fsb_perception.alignment import AlignmentMethod
from fsb_perception.bundles.manifest import NAME_PATTERN
from fsb_perception.bundles.preprocessing import MAX_SIDE, MIN_SIDE
from fsb_perception.heads import HEADS
from fsb_perception.options import OptionError, Options, build, option, walk
from fsb_perception.tasks import TASKS
from fsb_perception.towers.backbones import BACKBONES, Backbone
from fsb_perception.towers.parts import inner_tower
from fsb_training.datasets import DATASETS
from fsb_training.losses.by_task import check_losses
from fsb_training.recipe_files import find_recipe, recipe_values
from fsb_training.recipe_options import (
    AugmentOptions,
    DataOptions,
    LossOptions,
    OptimiserOptions,
    WeightOptions,
)

if TYPE_CHECKING:
    from torch import nn


class Recipe(Options):
    """One model: backbone, data, and how it is trained."""

    name: str = option("nano", "name of the bundle")
    objective: str = option(
        "tasks",
        "goal of training: the labels of tasks, or which captions are true of a picture",
        choices=("tasks", "captions"),  # fsb_training.learning.objectives
    )
    backbone: str = option("nano-vit-80", "row of fsb_perception.towers.backbones")
    head: str = option("linear", "kind of the layers from a feature to logits", choices=HEADS)
    weights_precision: str = option(
        "fp16", "number format of the bundle's weights", choices=("fp16", "fp32")
    )
    alignment: AlignmentMethod = option("landmarks", "alignment of faces: by landmarks or by box")
    tasks: tuple[str, ...] = option(("gender", "age_group", "emotion"), "tasks that are learned")
    seed: int = option(0, "seed of weights, order and augmentation", ge=0)
    sizes: tuple[int, ...] = option(
        (64, 80), "picture size of each stage; 0 is the backbone's own", unit="px"
    )
    stage_shares: tuple[float, ...] = option(
        (0.75, 0.25), "share of the pictures that each stage sees"
    )
    checkpoint_images: int = option(25_000, "pictures between checkpoints", ge=1)
    evaluate_images: int = option(
        100_000, "pictures between looks at the validation split (dev)", ge=1
    )
    tensorboard: bool = option(True, "write curves for TensorBoard to the run's folder")
    licence: str = option("", "licence of the weights")
    intended_use: str = option("", "intended use of the weights")
    limits: str = option("", "uses that the weights are not for")
    adapter: SerializeAsAny[AdapterConfig] = adapter_config({"method": "full"})
    weights: WeightOptions = WeightOptions()
    data: DataOptions = DataOptions()
    augment: AugmentOptions = AugmentOptions()
    optimiser: OptimiserOptions = OptimiserOptions()
    loss: LossOptions = LossOptions()

    @field_validator("adapter", mode="before")
    @classmethod
    def _choose_adapter(cls, value: object) -> object:
        return adapter_config(value) if isinstance(value, dict) else value

    @field_serializer("adapter")
    def _name_adapter(self, value: AdapterConfig) -> dict[str, object]:
        return adapter_settings(value)

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not re.fullmatch(NAME_PATTERN, name):
            raise ValueError(
                f"got {name!r}; use a-z, 0-9, dots, _ and -, with a letter or digit first"
            )
        return name

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        if len(self.sizes) != len(self.stage_shares):
            raise ValueError(
                f"stage_shares: got {len(self.stage_shares)} for {len(self.sizes)} sizes; give one "
                "for each size"
            )
        if abs(sum(self.stage_shares) - 1) > 1e-6:
            raise ValueError(
                f"stage_shares: got {list(self.stage_shares)}, whose sum is "
                f"{sum(self.stage_shares):g}; make it 1"
            )
        return self

    @property
    def augmentation(self) -> AugmentOptions:
        """The random changes of pictures that leave every label of this recipe's tasks true."""
        if any(TASKS[task].sided for task in self.tasks):
            return self.augment.model_copy(update={"flip": 0.0})
        return self.augment


def load_recipe(name: str | Path, settings: Iterable[str] = ()) -> Recipe:
    """Load a recipe, apply settings to it, and check it.

    Its name may hold ``{recipe}``, ``{backbone}`` and ``{tasks}``, and a size may be 0. So one file
    serves several backbones and tasks, whose runs have different folders.

    Args:
        name: path of a file, or the name of a recipe that ships.
        settings: ``NAME=VALUE``, which replace entries of the file.

    Raises:
        UnknownNameError, OptionError: names the option, the value seen and what to do.
    """
    path = find_recipe(name)
    mappings = [item.name for item in walk(Recipe) if isinstance(item.default, dict)]
    values = recipe_values(path, settings, mappings)
    adapter = values.get("adapter")
    if isinstance(adapter, dict):
        del values["adapter"]
    if "name" in values:
        values["name"] = _filled(str(values["name"]), path.stem, values)
    recipe = build(Recipe, values)
    recipe = recipe.model_copy(
        update={
            "sizes": tuple(size or BACKBONES[recipe.backbone].size for size in recipe.sizes),
            "adapter": adapter_config(adapter) if isinstance(adapter, dict) else recipe.adapter,
        }
    )
    if not recipe.data.shares:
        raise OptionError(
            f"{path}: data.shares is empty; name at least one data set, such as {{FairFace: 1}}"
        )
    check_recipe(recipe)
    return recipe


def _filled(name: str, recipe: str, values: dict[str, object]) -> str:
    """Fill the placeholders of a name; ``{tasks}`` becomes the single task, or "multi"."""
    fields = Recipe.model_fields
    backbone = values.get("backbone", fields["backbone"].default)
    tasks = values.get("tasks", fields["tasks"].default)
    single = tasks[0] if isinstance(tasks, list) and len(tasks) == 1 else "multi"
    for placeholder, text in {"recipe": recipe, "backbone": backbone, "tasks": single}.items():
        name = name.replace(f"{{{placeholder}}}", str(text).lower())
    return name


def check_recipe(recipe: Recipe) -> None:
    """Refuse, before any long work, what backbone, adapter and head cannot do together.

    Raises:
        UnknownNameError, OptionError: names the option, the value seen and what to do.
    """
    row = BACKBONES[recipe.backbone]
    check_tasks(recipe.tasks)
    for name in recipe.data.shares:
        DATASETS[name]
    check_losses(recipe.loss, recipe.data)
    _check_adapter(recipe, row)
    if recipe.augment.mixup and recipe.data.views:
        raise OptionError(
            f"augment.mixup: got {recipe.augment.mixup}, but fixed views cannot be mixed; set it "
            "or data.views to 0"
        )
    _check_sizes(recipe, row)


def _check_adapter(recipe: Recipe, row: Backbone) -> None:
    recipe.adapter.check(row, recipe.tasks)
    stem = inner_tower(_rehearse(row, recipe)).patch_embed
    if recipe.adapter.needs_text and recipe.head != "text":
        raise OptionError(f"head: got {recipe.head!r}, but this adapter needs head=text")
    check_head(recipe.backbone, recipe.head)
    if recipe.weights.prompts and not recipe.adapter.needs_text:
        raise OptionError(
            f"weights.prompts: got {recipe.weights.prompts!r}, but this adapter learns no text: "
            "take one that does, such as vpt-softcpt"
        )
    if recipe.loss.stem and not recipe.adapter.changes(stem):
        raise OptionError(
            f"loss.stem: got {recipe.loss.stem}, but this adapter freezes the stem; set 0"
        )


def _check_sizes(recipe: Recipe, row: Backbone) -> None:
    for size in recipe.sizes:
        if row.family != "nano" and size != row.size:
            raise OptionError(f"sizes: got {size}, but {recipe.backbone} takes {row.size} px alone")
        if not MIN_SIDE <= size <= MAX_SIDE:
            raise OptionError(f"sizes: got {size}, must be from {MIN_SIDE} to {MAX_SIDE}")


def check_head(backbone: str, head: str) -> None:
    """Refuse text heads for a backbone without a text tower."""
    if head == "text" and not BACKBONES[backbone].has_text:
        raise OptionError(
            f"head: got 'text', but {backbone} has no text tower; choose another head or backbone"
        )


def _rehearse(row: Backbone, recipe: Recipe) -> nn.Module:
    """Adapt a tower without weights, so that a misfit is found before weights are fetched."""
    import torch

    with torch.device("meta"):
        return recipe.adapter.for_backbone(row).without_values().adapt(row.build(), recipe.tasks)


def check_tasks(names: Sequence[str]) -> None:
    """Refuse unknown tasks, an empty list, and a task that is named twice."""
    TASKS.check(names)
    if not names or len(set(names)) < len(names):
        raise OptionError(f"tasks: got {list(names)}, name each task once, from {', '.join(TASKS)}")
