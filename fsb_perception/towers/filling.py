"""Modules that are built without memory and then filled with their weights.

A module that is built in memory first draws every weight at random: ten wasted seconds for
PE-Core-L.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def fill(built: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Load tensors into a module from the meta device, and let it compute its own constants.

    Args:
        built: made under ``torch.device("meta")``; afterwards on the CPU.
        tensors: by name. They are copied, since a file may be replaced while its weights are in
            use. Floating-point tensors become float32.

    Returns:
        Names that the module has and ``tensors`` lacks, and the other way round. Counters of batch
        norms never count as missing: they are no weights, and begin at zero.

    Raises:
        RuntimeError: tensors have another shape; the message names all of them.
    """
    import torch

    module: Any
    for module in built.modules():
        if hasattr(module, "init_non_persistent_buffers"):  # timm's rotary positions
            module.to_empty(device="cpu", recurse=False)
            module.init_non_persistent_buffers()
        if getattr(module, "attn_mask", None) is not None:  # open_clip's, of the text
            module.attn_mask = module.build_causal_mask()
    counters = {
        name: torch.zeros_like(tensor, device="cpu")
        for name, tensor in built.named_buffers()
        if name.endswith("num_batches_tracked")
    }
    copies = {
        name: tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)
        for name, tensor in tensors.items()
    }
    missing, unexpected = built.load_state_dict(counters | copies, strict=False, assign=True)
    return list(missing), list(unexpected)
