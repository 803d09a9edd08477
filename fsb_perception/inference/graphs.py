"""Faster forms of an encoder that compute the same: frozen into one graph, or compiled."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module

import torch
from torch import nn

from fsb_perception.inference.hardware import is_out_of_memory

Encode = Callable[[torch.Tensor], dict[str, torch.Tensor]]
"""A function from float pixels (n, 3, size, size) to logits (n, classes) by task name."""

_log = logging.getLogger(__name__)

# Where torch keeps the code and the types of each traced module until the process ends, and the
# class of an empty store: (module of torch, name in it, class).
_STORES = (
    ("torch.jit._state", "_python_cu", torch._C.CompilationUnit),
    ("torch.jit._recursive", "concrete_type_store", torch.jit._recursive.ConcreteTypeStore),
)
_storing = threading.Lock()


def fused(model: nn.Module, size: int, dtype: torch.dtype) -> Encode:
    """Freeze a model into one graph: with few faces, much of the time goes between operations.

    The graph is checked on another number of faces than it was recorded with. If it differs, the
    model itself is returned.

    Args:
        model: on the CPU, in evaluation mode.
        size: side of its pictures in pixels.
        dtype: of its weights.
    """
    example = torch.rand(2, 3, size, size, dtype=dtype).to(memory_format=torch.channels_last)
    with torch.no_grad(), warnings.catch_warnings(), _own_stores():
        warnings.simplefilter("ignore")  # about branches on the picture's size, which is constant
        traced = torch.jit.trace(model, example[:1], strict=False, check_trace=False)
        expected = model(example)
        # Folding wins most where convolutions have norms, but torch 2.13 folds a Linear layer into
        # the norms of all heads that read it, so that each gets the others' too.
        for fold in (True, False):
            graph = torch.jit.freeze(traced, optimize_numerics=fold)
            if logits_agree(expected, graph(example), dtype):
                return graph
    _log.warning("the fused encoder differs from the plain one, which is used instead")
    return model


@contextlib.contextmanager
def _own_stores() -> Iterator[None]:
    """Give the modules traced in this block stores of their own, which are freed with them.

    In torch's own stores they would stay, weights included, until the process ends: 37 MB for each
    configuration of a node with the bundle nano.
    """
    with _storing, contextlib.ExitStack() as restored:
        for place, name, make in _STORES:
            module = import_module(place)
            restored.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, make())
        yield


class Compiled:
    """A model under ``torch.compile``, which the plain model replaces from its first failure on.

    Each number of faces is compiled separately, which takes many seconds: use few of them.

    Args:
        model: in evaluation mode.
        sizes: how many different numbers of faces it will get.
    """

    def __init__(self, model: nn.Module, sizes: int) -> None:
        self._plain: Encode = model
        self._checked = False
        limit = torch._dynamo.config.recompile_limit  # type: ignore[attr-defined]
        torch._dynamo.config.recompile_limit = max(limit, 2 * sizes)  # type: ignore[attr-defined]
        self._fast: Encode | None = torch.compile(model, dynamic=False)

    @property
    def works(self) -> bool:
        """True while the compiled model is in use."""
        return self._fast is not None

    def __call__(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return logits by task, from the compiled model while it works."""
        if self._fast is None:
            return self._plain(pixels)
        try:
            logits = self._fast(pixels)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            return self._give_up(pixels, f"{type(error).__name__}: {_first_line(error)}")
        if not self._checked and not logits_agree(self._plain(pixels), logits, pixels.dtype):
            return self._give_up(pixels, "it differs from the plain encoder")
        self._checked = True
        return logits

    def _give_up(self, pixels: torch.Tensor, reason: str) -> dict[str, torch.Tensor]:
        _log.warning("torch.compile does not work here (%s); the encoder runs without it", reason)
        self._fast = None
        return self._plain(pixels)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def logits_agree(
    expected: Mapping[str, torch.Tensor], actual: Mapping[str, torch.Tensor], dtype: torch.dtype
) -> bool:
    """Return whether two forms of a model give the same logits, up to the rounding of ``dtype``.

    The rounding allowed is a share of a task's largest logit, which may be a hundred.

    >>> logits = {"emotion": torch.tensor([[90.0, -40.0]])}
    >>> logits_agree(logits, {"emotion": torch.tensor([[91.0, -40.5]])}, torch.bfloat16)
    True
    """
    rounding = 1e-4 if dtype == torch.float32 else 5e-2
    return all(
        _close(rows.float(), actual[task].float(), rounding) for task, rows in expected.items()
    )


def _close(expected: torch.Tensor, actual: torch.Tensor, rounding: float) -> bool:
    allowed = rounding * max(1.0, float(expected.abs().max()))
    return bool(((expected - actual).abs() <= allowed).all())  # NaN must not pass
