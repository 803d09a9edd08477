"""Weights for the towers: from a file, from the model hub if the user asks, or random.

One tower is loaded at a time. From a checkpoint that holds both, only the tensors of that tower are
read. Files are checked before any tower is built, and no code in them runs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fsb_perception.towers.backbones import BACKBONES, Backbone
from fsb_perception.towers.checkpoint_files import (
    WeightsError,
    hub_file,
    not_finite,
    read_checkpoint,
)
from fsb_perception.towers.checkpoint_names import few, image_part, text_part, unwrapped
from fsb_perception.towers.filling import fill
from fsb_perception.towers.text import build_text_tower, text_config

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["HUB_FILE", "RANDOM", "WeightsError", "hub_repository", "load_text_tower", "load_tower"]

RANDOM = "random"
"""The source of untrained weights."""

HUB_FILE = "open_clip_model.safetensors"
"""Published weights of both towers, in each repository of `hub_repository`."""


def hub_repository(row: Backbone) -> str:
    """Return the model hub's repository with the weights of a backbone of open_clip."""
    return f"timm/{row.open_clip}"


def load_tower(name: str, source: str | Path = "", allow_download: bool = False) -> nn.Module:
    """Load a backbone's image tower, float32, on the CPU; no text tower is built.

    Args:
        name: row of `BACKBONES`.
        source: a file (``.safetensors``, or ``.pt``, ``.pth``, ``.bin`` without code) under the
            names of open_clip, timm, transformers or Meta's PE; a folder with `HUB_FILE` in it;
            ``"random"``; or "", the published weights in the model hub's cache.
        allow_download: get the published weights from the hub if they are not in the cache.

    Raises:
        WeightsError: the weights are missing, cannot be read or do not fit.
        UnknownNameError: an unknown backbone.
    """
    return _load(name, source, allow_download, lambda row: row.build(), image_part)


def load_text_tower(name: str, source: str | Path = "", allow_download: bool = False) -> nn.Module:
    """Load a backbone's text tower; otherwise as `load_tower`, and from the same files."""
    return _load(name, source, allow_download, build_text_tower, text_part)


def _load(
    name: str,
    source: str | Path,
    allow_download: bool,
    build: Callable[[Backbone], nn.Module],
    part: Callable[..., dict[str, Tensor]],
) -> nn.Module:
    import torch

    row = BACKBONES[name]
    if source == RANDOM:
        return build(row)
    with torch.device("meta"):
        tower = build(row)
    path = _find(name, row, source, allow_download)
    try:
        tensors = part(unwrapped(read_checkpoint(path)))
    except ValueError as error:
        raise WeightsError(f"{path} does not fit {name}: {error}") from None
    if fault := _misfit(tower, tensors):
        fits = _fitting(build, tensors)
        hint = f"They fit {', '.join(fits)}." if fits else "They fit no backbone known here."
        raise WeightsError(f"{path} does not fit {name}: {fault}. {hint}")
    if broken := not_finite(tensors):
        raise WeightsError(
            f"{path} has numbers that are not finite in {few(broken)}: get it again, or give "
            "another file as the source"
        )
    fill(tower, tensors)
    return tower


def _find(name: str, row: Backbone, source: str | Path, allow_download: bool) -> Path:
    if source:
        path = Path(source).expanduser()
        path = path / HUB_FILE if path.is_dir() else path
        if not path.is_file():
            raise WeightsError(
                f"there is no {path}, the source of the weights of {name}: "
                f'give a file, a folder with {HUB_FILE} in it, or "{RANDOM}"'
            )
        return path
    if not row.pretrained:
        raise WeightsError(
            f"no weights of {name} are published: give a file as the source, "
            f'or "{RANDOM}" to begin with untrained weights'
        )
    try:
        return hub_file(hub_repository(row), HUB_FILE, allow_download)
    except WeightsError as error:
        raise WeightsError(f"{name} needs its weights: {error}") from None


def _misfit(tower: nn.Module, tensors: dict[str, Tensor]) -> str:
    """Return the first reason why tensors do not fit a tower; "" if they do."""
    wanted = tower.state_dict()
    for name in (name for name in wanted if name in tensors):
        seen, due = tensors[name], wanted[name]
        if seen.shape != due.shape:
            return f"{name} has shape {tuple(seen.shape)}, not {tuple(due.shape)}"
        if seen.is_floating_point() != due.is_floating_point():
            return f"{name} is of {seen.dtype}, not {due.dtype}"
    if missing := [name for name in wanted if name not in tensors]:
        return f"{len(missing)} tensors are missing: {few(missing)}"
    if unknown := [name for name in tensors if name not in wanted]:
        return f"{len(unknown)} tensors are unknown: {few(unknown)}"
    return ""


def _fitting(build: Callable[[Backbone], nn.Module], tensors: dict[str, Tensor]) -> list[str]:
    """Return the backbones that these tensors would fit."""
    import torch

    names = []
    for name, row in BACKBONES.items():
        with torch.device("meta"):
            if _could_fit(row, tensors) and not _misfit(build(row), tensors):
                names.append(name)
    return names


def _could_fit(row: Backbone, tensors: dict[str, Tensor]) -> bool:
    """Compare only the number of positions, since building every tower takes seconds."""
    if "pos_embed" in tensors:
        patches = (row.size // row.patch) ** 2
        return tensors["pos_embed"].shape[1] - patches in (0, 1)  # 1: a class token
    if "positional_embedding" in tensors and row.has_text:
        return len(tensors["positional_embedding"]) == text_config(row)["context_length"]
    return False
