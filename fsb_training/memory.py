"""The memory that training takes, computed from shapes alone: no tensor is allocated."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch._subclasses import FakeTensorMode

_ADAM = 12  # bytes a trained float32 parameter: its gradient and AdamW's two moments


def training_bytes(encoder: nn.Module, shape: tuple[int, ...]) -> int:
    """Return the bytes of a step: float32 weights, gradients, AdamW's moments and activations.

    An averaged copy of the weights and the kernels' own workspace come on top.

    Args:
        encoder: in its training form, on the meta device; its tensors become fake ones.
        shape: of the pixels, (n, 3, s, s).
    """
    total = sum(p.numel() for p in encoder.parameters())
    trained = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    return 4 * total + _ADAM * trained + activation_bytes(encoder, shape)


def activation_bytes(encoder: nn.Module, shape: tuple[int, ...]) -> int:
    """Return the bytes that a forward keeps for the backward, without weights, on a CPU.

    torch's fake tensors choose the operations that real ones would, the fused attention among
    them. So the sum is exact: a test compares it with a forward in real memory.
    """
    with FakeTensorMode():
        for owned, name, tensor in _tensors(encoder):
            fake = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
            is_weight = isinstance(tensor, nn.Parameter)
            owned[name] = nn.Parameter(fake, tensor.requires_grad) if is_weight else fake
        return saved_bytes(encoder, torch.empty(shape, device="cpu"))


def _tensors(module: nn.Module) -> Iterator[tuple[dict[str, Any], str, torch.Tensor]]:
    """Yield every tensor with its name and the dictionary of the module that owns it."""
    for part in module.modules():
        owners: tuple[dict[str, Any], ...] = (part._parameters, part._buffers)
        for owned in owners:
            for name, tensor in list(owned.items()):
                if tensor is not None:
                    yield owned, name, tensor


class _Saved:
    """A tensor that only the graph holds: it goes when an operation's backward is dropped."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def saved_bytes(encoder: nn.Module, pixels: torch.Tensor) -> int:
    """Return the bytes that live for the backward after a forward, each storage counted once."""
    weights = {_storage(tensor) for tensor in (*encoder.parameters(), *encoder.buffers())}
    saved: list[weakref.ref[_Saved]] = []

    def pack(tensor: torch.Tensor) -> _Saved:
        holder = _Saved(tensor)
        saved.append(weakref.ref(holder))
        return holder

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda holder: holder.tensor):
        logits = encoder.train()(pixels)
    tensors = [holder.tensor for ref in saved if (holder := ref()) is not None]
    sizes = {_storage(tensor): tensor.untyped_storage().nbytes() for tensor in tensors}
    del logits  # not earlier, since it holds the graph
    return sum(size for storage, size in sizes.items() if storage not in weights)


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata
