"""The manifest of a bundle, ``manifest.json``, field by field; see docs/bundles.md."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from fsb_perception.bundles.preprocessing import Preprocessing
from fsb_perception.errors import FsbError
from fsb_perception.types import UNKNOWN

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
GRAPH = "encoder.onnx"
FORMAT_VERSION = 3  # 2 had no seal; 1 had neither adapter nor head
SEALED_FROM = 3
"""The first format whose manifest holds its own sha256."""
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]*$"
"""Pattern of a bundle's name, which is part of ids and of folder names."""
COLDEST, HOTTEST = 1e-3, 1e3
"""Smallest and largest temperature: beyond, the softmax overflows or forgets the logits."""


class BundleError(FsbError):
    """A bundle that cannot be used; the message names the file, the fault and what to do."""


def _file_of_a_bundle(name: str) -> str:
    if name not in (WEIGHTS, GRAPH):
        raise ValueError(f"a bundle holds {WEIGHTS} and {GRAPH} and no other file, not {name!r}")
    return name


def _check_label(label: str) -> str:
    if not label.strip() or not label.isprintable():  # a lone surrogate is not printable either
        raise ValueError(f"a label is a text without control characters, got {label!r}")
    if label == UNKNOWN:
        raise ValueError(f"{label!r} is the answer of FSB without an estimate: rename this label")
    return label


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BundleTask(_Entry):
    """A task of the weights; the order of ``labels`` is the order of the logits.

    >>> BundleTask(name="gender", labels=("male", "female")).ordered
    False
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    labels: tuple[Annotated[str, AfterValidator(_check_label)], ...] = Field(min_length=2)
    ordered: bool = False

    @field_validator("labels")
    @classmethod
    def _differ(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if repeated := [label for label in labels if labels.count(label) > 1]:
            raise ValueError(f"{repeated[0]!r} is there more than once: each label is one class")
        return labels


class TrainingData(_Entry):
    """A data set used in training: its name, the number of its pictures, and its licence.

    >>> TrainingData(name="FairFace", count=36000, licence="CC BY 4.0").count
    36000
    """

    name: str
    count: int = Field(ge=0)
    licence: str


class Manifest(_Entry):
    """The description of a bundle's weights.

    Attributes:
        format_version: of this layout; a newer one is refused.
        name: of the bundle.
        backbone: row of `fsb_perception.towers.backbones`.
        adapter: the method that adapted it, and its settings; see `fsb_perception.adapters`.
        head: row of `fsb_perception.heads`; for "text" heads the prompts' features are weights.
        tasks: in the order of the heads.
        preprocessing: from faces to pixels.
        temperatures: by task; logits are divided by it before the softmax (Guo et al., ICML 2017).
        metrics: ``{data set: {task: {metric: number}}}`` as measured, with counts.
        training_data: the data sets that the weights were trained on.
        recipe: the recipe of `fsb-train fit`, and how far the training went.
        licence: of the weights.
        intended_use: the purpose of the weights.
        limits: uses that are not intended, and weaknesses that were measured.
        files: sha256 by file name.

    >>> from fsb_perception.bundles.bundle import load_bundle
    >>> load_bundle("nano").manifest.tasks[0].labels
    ('male', 'female')
    """

    format_version: int = Field(FORMAT_VERSION, ge=1, le=FORMAT_VERSION, strict=True)
    name: str = Field(pattern=NAME_PATTERN)
    backbone: str
    adapter: dict[str, object] = {"method": "full"}
    head: str = "linear"
    tasks: tuple[BundleTask, ...]
    preprocessing: Preprocessing
    temperatures: dict[str, Annotated[float, Field(ge=COLDEST, le=HOTTEST)]]
    metrics: dict[str, dict[str, dict[str, float | int]]] = {}
    training_data: tuple[TrainingData, ...] = ()
    recipe: dict[str, object] = {}
    licence: str
    intended_use: str
    limits: str
    files: dict[
        Annotated[str, AfterValidator(_file_of_a_bundle)],
        Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")],
    ] = {}

    @field_validator("tasks")
    @classmethod
    def _one_head_each(cls, tasks: tuple[BundleTask, ...]) -> tuple[BundleTask, ...]:
        names = [task.name for task in tasks]
        if len(set(names)) < max(len(names), 1):
            raise ValueError(f"a bundle has one head or more, each of another task, not {names}")
        return tasks

    @model_validator(mode="after")
    def _temperatures_of_tasks(self) -> Manifest:
        names = [task.name for task in self.tasks]
        if strangers := [name for name in self.temperatures if name not in names]:
            raise ValueError(f"temperatures: {strangers[0]!r} is no task of this bundle, {names}")
        return self

    def to_json(self) -> str:
        """Return the text of ``manifest.json`` without its seal."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
