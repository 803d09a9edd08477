"""The encoder under torch.compile, compared with the plain one before it is used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import torch
from torch import nn

from fsb_perception.inference.memory import is_out_of_memory

Encode = Callable[[torch.Tensor], dict[str, torch.Tensor]]
"""A function from float pixels (n, 3, size, size) to logits (n, classes) by task name."""

_log = logging.getLogger(__name__)


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
