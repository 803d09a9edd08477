"""Modules built without memory, and then filled with the weights that they are to have.

Built in memory, every weight is first drawn at random: ten seconds for PE-Core-L, for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def fill(built: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Give a module from the meta device these tensors; what it computes itself is computed.

    Args:
        built: under ``torch.device("meta")``; afterwards on the CPU.
        tensors: by name. They are copied: a file may be replaced while its weights are in use.
            Floating-point ones become float32.

    Returns:
        Names that the module has and ``tensors`` lacks, and the other way round. Counters of batch
        norms are not missed: they are no weights, and begin at zero.

    Raises:
        RuntimeError: a tensor has another shape; names all of them.
    """
    import torch

    module: Any
    for module in built.modules():
        if hasattr(module, "init_non_persistent_buffers"):  # timm's word for rotary positions
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
