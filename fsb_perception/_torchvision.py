"""A repair that lets torchvision be imported beside a CPU-only torch.

The torchvision wheel of the package index is built for CUDA. Beside a CPU build of torch its import
fails: it describes two operators whose schemas a library declares that is missing then.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@cache
def mend_torchvision() -> tuple[torch.library.Library, ...]:
    """Declare the missing schemas. Call this before importing timm, open_clip or torchmetrics.

    Returns:
        The libraries of declarations. The cache keeps them: their declarations end with them.
    """
    import torch

    if torch.version.cuda is not None or importlib.util.find_spec("torchvision") is None:
        return ()
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return (library,)
    return ()
