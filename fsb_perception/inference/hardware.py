"""This machine's device, the number format that is fast on it, its threads and its memory."""

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

_MOST_RUNS, _MOST_SECONDS = 12, 0.5  # of a measurement


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


OWN_THREADS = torch.get_num_threads()
"""Torch's own choice, or that of OMP_NUM_THREADS, before anything changes it."""


def worthwhile_threads(work: Callable[[], object], every: int = OWN_THREADS) -> int:
    """Measure how many threads to compute with beside other programs.

    Threads wait for each other after every layer, and one that shares its core with a camera delays
    all. A small tower on two cores was no faster with two threads alone; beside a camera, a frame
    took 29 ms with two and 20 with one. PE-Core-B-16 took 172 and 227 ms.

    Args:
        work: the computation; it is run a few times, for about a second.
        every: most threads to use.
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
    """Return the seconds of the fastest of several runs, two at least."""
    times: list[float] = []
    while len(times) < 2 or (len(times) < _MOST_RUNS and sum(times) < _MOST_SECONDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` is torch's or Python's report of too little memory.

    On the CPU, and from inside a frozen graph, torch raises a plain RuntimeError.

    >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    True
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(phrase in text for phrase in _OUT_OF_MEMORY)
