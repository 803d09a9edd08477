"""Faster forms of an encoder that compute the same: frozen into one graph, or compiled."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from fsb_perception.inference.hardware import is_out_of_memory

Encode = Callable[[torch.Tensor], dict[str, torch.Tensor]]

_log = logging.getLogger(__name__)


def fused(model: nn.Module, size: int, dtype: torch.dtype) -> Encode:
    """The model as one frozen graph: with few faces, much of the time goes between operations.

    Checked on another number of faces than it was recorded with; the model itself where it differs.

    Args:
        model: on the CPU, in evaluation mode.
        size: side of its pictures in pixels.
        dtype: of its weights.
    """
    example = torch.rand(2, 3, size, size, dtype=dtype).to(memory_format=torch.channels_last)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of branches on the picture's size, which never changes
        traced = torch.jit.trace(model, example[:1], strict=False, check_trace=False)
        expected = model(example)
        # Folding wins most where convolutions have norms, but torch 2.13 folds a Linear layer into
        # the norms of all heads that read it, so that each gets the others' too.
        for fold in (True, False):
            graph = torch.jit.freeze(traced, optimize_numerics=fold)
            if _agree(expected, graph(example), dtype):
                return graph
    _log.warning("the fused encoder differs from the plain one, which is used instead")
    return model


class Compiled:
    """A model under ``torch.compile``; from its first failure on, what it is made to replace.

    Each number of faces is compiled for itself, which takes many seconds: give it few of them.

    Args:
        model: in evaluation mode.
        plain: computes the same, and takes over where compiling fails.
        sizes: how many numbers of faces will come.
    """

    def __init__(self, model: nn.Module, plain: Encode, sizes: int) -> None:
        self.plain = plain
        self._checked = False
        limit = torch._dynamo.config.recompile_limit  # type: ignore[attr-defined]
        torch._dynamo.config.recompile_limit = max(limit, 2 * sizes)  # type: ignore[attr-defined]
        on_cpu = next(model.parameters()).device.type == "cpu"
        # One thread, or inductor starts processes of its own, which outlive their work.
        options: dict[str, Any] = {"compile_threads": 1} if on_cpu else {}
        self._fast: Encode | None = torch.compile(model, dynamic=False, options=options)

    @property
    def works(self) -> bool:
        """Whether the compiled model is in use."""
        return self._fast is not None

    def __call__(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits by task, from the compiled model while it works."""
        if self._fast is None:
            return self.plain(pixels)
        try:
            logits = self._fast(pixels)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            return self._give_up(pixels, f"{type(error).__name__}: {_first_line(error)}")
        if not self._checked and not _agree(self.plain(pixels), logits, pixels.dtype):
            return self._give_up(pixels, "it differs from the plain encoder")
        self._checked = True
        return logits

    def _give_up(self, pixels: torch.Tensor, why: str) -> dict[str, torch.Tensor]:
        _log.warning("torch.compile is of no use here (%s); the encoder runs without it", why)
        self._fast = None
        return self.plain(pixels)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def _agree(
    expected: dict[str, torch.Tensor], actual: dict[str, torch.Tensor], dtype: torch.dtype
) -> bool:
    """Whether two forms of a model give the same logits, as far as ``dtype`` can tell."""
    rounding = 1e-4 if dtype == torch.float32 else 5e-2
    return all(
        _close(rows.float(), actual[task].float(), rounding) for task, rows in expected.items()
    )


def _close(expected: torch.Tensor, actual: torch.Tensor, rounding: float) -> bool:
    """Whether no logit is off by more than a share of the largest, which may be a hundred."""
    allowed = rounding * max(1.0, float(expected.abs().max()))
    return bool(((expected - actual).abs() <= allowed).all())  # NaN must not pass
