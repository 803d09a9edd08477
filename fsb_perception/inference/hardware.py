"""What this machine computes with: its device, the number format that is fast on it, its memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import cache

import torch

from fsb_perception.options import OptionError

_log = logging.getLogger(__name__)

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")

_WORTHWHILE = 1.25
"""Times as fast: bfloat16 keeps eight bits of the mantissa, threads take cores from others."""

_TIMES, _LONGEST = 12, 0.5  # of what is measured, and seconds of it


def choose_device(name: str) -> torch.device:
    """The device called auto, cuda or cpu; `OptionError` where it is not there."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise OptionError("engine.device: got 'cuda', but torch finds no GPU; use 'cpu' or 'auto'")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number format called auto, fp32, bf16 or fp16; `OptionError` where it cannot be."""
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
    """``bf16`` for torch.bfloat16: the names of `choose_dtype`.

    >>> format_name(torch.bfloat16)
    'bf16'
    """
    return next(name for name, each in DTYPES.items() if each == dtype)


def _cuda_dtype() -> torch.dtype:
    # Before Ampere torch emulates bfloat16, and calls that support; half precision is in hardware
    # since Volta.
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16 if torch.cuda.get_device_capability() >= (7, 0) else torch.float32


_SMALL, _LARGE = 64, 512  # sides of the matrices
# With AMX, 20 us to set a product up make a small one five times slower than in float32; emulated,
# it is some 400 times slower.
_EMULATED = 1 / 20


@cache
def bf16_gain() -> float:
    """How many times faster the CPU multiplies matrices in bfloat16 than in float32.

    Measured, because flags of the processor do not tell: with AMX it is several times faster,
    with AVX512-BF16 sometimes, on Arm it depends on the build of torch, and emulated it is a
    hundred times slower. A small product finds the last out within a millisecond.
    """
    gain = _gain_at(_SMALL)
    return gain if gain < _EMULATED else _gain_at(_LARGE)


def _gain_at(side: int) -> float:
    return _seconds(side, torch.float32) / _seconds(side, torch.bfloat16)


def _seconds(side: int, dtype: torch.dtype) -> float:
    """The fastest of some products of two square matrices."""
    matrix = torch.full((side, side), 0.5, dtype=dtype)
    times = []
    with torch.inference_mode():
        for _ in range(6):
            start = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - start)
    return min(times[1:])


OWN_THREADS = torch.get_num_threads()
"""Torch's own choice, or what OMP_NUM_THREADS says, before anybody changes it."""


def worthwhile_threads(work: Callable[[], object], every: int = OWN_THREADS) -> int:
    """How many threads to compute with beside other programs.

    Threads wait for each other after every layer, and one that shares its core with a camera holds
    up all. A small tower on two cores was no faster with two threads alone, and beside a camera a
    frame took 29 ms with two and 20 with one; PE-Core-B-16 took 172 and 227 ms.

    Args:
        work: what is to be computed; it is done a few times, for about a second.
        every: at most so many.
    """
    many = every - 1 if every > 2 else every  # one for the others, where that leaves several
    if many == 1:
        return 1
    before, times = torch.get_num_threads(), {}
    try:
        for count in (1, many):
            torch.set_num_threads(count)
            times[count] = _fastest(work)
    finally:
        torch.set_num_threads(before)
    return many if times[1] > _WORTHWHILE * times[many] else 1


def _fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of several times, two at least."""
    times: list[float] = []
    while len(times) < 2 or (len(times) < _TIMES and sum(times) < _LONGEST):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is torch's or Python's way to say that memory does not suffice.

    On the CPU, and from inside a frozen graph, torch raises a plain RuntimeError.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(said in text for said in _OUT_OF_MEMORY)
