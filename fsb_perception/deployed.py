"""The structure of an encoder as a robot runs it, before any weights are in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fsb_perception.adapters import adapter_config
from fsb_perception.adapters.base import AdapterConfig
from fsb_perception.backbones import BACKBONES
from fsb_perception.heads import build_head
from fsb_perception.manifest import Manifest
from fsb_perception.model import MultitaskEncoder


def build_encoder(manifest: Manifest) -> MultitaskEncoder:
    """The encoder that a manifest describes, as it is deployed, with random weights."""
    adapter = adapter_config(manifest.adapter)
    classes = {task.name: len(task.labels) for task in manifest.tasks}
    ordered = {task.name for task in manifest.tasks if task.ordered}
    return deployed_encoder(manifest.backbone, adapter, manifest.head, classes, ordered)


def deployed_encoder(
    backbone: str,
    adapter: AdapterConfig,
    head: str,
    classes: Mapping[str, int],
    ordered: Collection[str] = (),
) -> MultitaskEncoder:
    """An encoder as a robot runs it, with random weights.

    Args:
        backbone: row of `fsb_perception.backbones`.
        adapter: the method; what of it merges is not there.
        head: row of `fsb_perception.heads`.
        classes: number of labels by task, in the order of the heads.
        ordered: the tasks whose labels are in order.
    """
    row = BACKBONES[backbone]
    tower = adapter.for_backbone(row).rebuild(row.build(), list(classes))
    heads = {
        task: build_head(head, row.width, count, ordered=task in ordered)
        for task, count in classes.items()
    }
    return MultitaskEncoder(tower, heads)
