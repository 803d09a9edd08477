"""torch's device on this machine, the number format that is fast on it, and its memory."""

from __future__ import annotations

import logging
import time
from functools import cache

import torch

from fsb_perception.options import OptionError

_log = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_WORTHWHILE = 1.25
"""Times as fast: bfloat16 keeps eight bits of the mantissa."""


def choose_device(name: str) -> torch.device:
    """Return the device called auto, cuda or cpu.

    Raises:
        OptionError: torch finds no GPU.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise OptionError("engine.device: got 'cuda', but torch finds no GPU; use 'cpu' or 'auto'")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the number format called auto, fp32, bf16 or fp16.

    "auto" takes bf16 on a GPU that has it, and on a CPU that multiplies faster in it.

    Raises:
        OptionError: fp16 on the CPU.
    """
    if name == "fp16" and device.type == "cpu":
        raise OptionError("engine.precision: fp16 is for GPUs; on the CPU use fp32, bf16 or auto")
    if name == "bf16" and device.type == "cpu" and bf16_gain() < 1:
        _log.warning(
            "engine.precision: bf16 multiplies %.0f times slower than fp32 on this CPU; use auto",
            1 / bf16_gain(),
        )
    if name != "auto":
        return DTYPES[name]
    if device.type == "cuda":
        return _cuda_dtype()
    return torch.bfloat16 if bf16_gain() > _WORTHWHILE else torch.float32


def format_name(dtype: torch.dtype) -> str:
    """Return the name of a number format, as `choose_dtype` takes it.

    >>> format_name(torch.bfloat16)
    'bf16'
    """
    return next(name for name, known in DTYPES.items() if known == dtype)


def _cuda_dtype() -> torch.dtype:
    # Before Ampere torch emulates bfloat16, and calls that support. Half precision is in hardware
    # since Volta.
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16 if torch.cuda.get_device_capability() >= (7, 0) else torch.float32


_SMALL, _LARGE = 64, 512  # sides of the matrices
# With AMX, the 20 us to set up a product make a small one five times slower than in float32. An
# emulated one is some 400 times slower.
_EMULATED = 1 / 20


@cache
def bf16_gain() -> float:
    """Measure how many times faster the CPU multiplies matrices in bfloat16 than in float32.

    Flags of the processor do not show it: with AMX bfloat16 is several times faster, with
    AVX512-BF16 sometimes, on Arm it depends on the build of torch, and emulated it is a hundred
    times slower. A small product reveals emulation within a millisecond.
    """
    gain = _gain_at(_SMALL)
    return gain if gain < _EMULATED else _gain_at(_LARGE)


def _gain_at(side: int) -> float:
    return _seconds(side, torch.float32) / _seconds(side, torch.bfloat16)


def _seconds(side: int, dtype: torch.dtype) -> float:
    """Return the time of the fastest of some products of two square matrices."""
    matrix = torch.full((side, side), 0.5, dtype=dtype)
    times = []
    with torch.inference_mode():
        for _ in range(6):
            start = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - start)
    return min(times[1:])
