"""Lets torchvision be imported beside a CPU-only torch.

The torchvision wheel of the package index is built for CUDA. Beside a CPU build of torch its import
fails, because two operators are described whose schemas the missing library would have declared.
Import this module before timm or open_clip; where torchvision is whole it does nothing.
"""

from __future__ import annotations

import importlib.util

import torch

# Kept for as long as the process: a library that is collected takes its declarations with it.
_kept: list[torch.library.Library] = []


def _declare_missing_operators() -> None:
    if torch.version.cuda is not None or importlib.util.find_spec("torchvision") is None:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        _kept.append(library)
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


_declare_missing_operators()
