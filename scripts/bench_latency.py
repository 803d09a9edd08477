"""Latency of encoders beside the bare tower and beside a matrix product, in turn.

What slows the machine down for a while slows all three, and drops out of their ratios.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from statistics import median
from typing import Any

import torch
from bench_systems import BARE, build_system
from torch import nn

from fsb_perception.inference.hardware import DTYPES
from fsb_perception.towers.backbones import BACKBONES

_HOPELESS = 20.0  # times slower than fp32: bf16 is emulated, and no forward ends in time
_SIDE = 1024  # of the matrices
_LEAST_S = 0.05  # a shorter forward is repeated: its time alone would say more of the moment


def formats(device: torch.device) -> tuple[list[str], dict[str, str]]:
    """Return the number formats to measure, and the reason for each that is left out."""
    if device.type == "cuda":
        return ["fp32", "bf16"], {}
    slower = _product_s(256, torch.bfloat16, device) / _product_s(256, torch.float32, device)
    made_for_it = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    if made_for_it or slower < _HOPELESS:
        return ["fp32", "bf16"], {}
    reason = f"no AMX, no AVX512-BF16; a product of 256x256 takes {slower:.0f} times fp32's time"
    return ["fp32"], {"bf16": reason}


def _product_s(side: int, dtype: torch.dtype, device: torch.device) -> float:
    matrix = torch.full((side, side), 0.5, dtype=dtype, device=device)
    return min(_seconds(lambda: matrix @ matrix, device) for _ in range(4))


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def latencies(
    backbone: str,
    systems: tuple[str, ...],
    batches: tuple[int, ...],
    repeats: int,
    device: torch.device,
    name: str,
) -> list[dict[str, Any]]:
    """Return a row for each system and batch size, the bare tower first, in format ``name``."""
    dtype, size = DTYPES[name], BACKBONES[backbone].size
    models = {
        system: build_system(backbone, system)
        .to(device, dtype)
        .to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for system in (BARE, *systems)
    }
    rows = []
    with torch.inference_mode():
        for batch in batches:
            pixels = torch.rand(batch, 3, size, size, device=device).to(
                dtype, memory_format=torch.channels_last
            )
            flops = _flops(models[BARE], pixels)
            times, rates = _rounds(models, pixels, repeats, device)
            rows += _rows(times, rates, flops, batch, name)
    return rows


def _rounds(
    models: Mapping[str, nn.Module], pixels: torch.Tensor, repeats: int, device: torch.device
) -> tuple[dict[str, list[tuple[float, float]]], list[float]]:
    """Return the seconds of each system and of the bare tower beside it, and rates in FLOP/s."""
    bare = models[BARE]
    for model in models.values():
        model(pixels)
    calls = math.ceil(_LEAST_S / _seconds(lambda: bare(pixels), device))

    def seconds(model: nn.Module) -> float:
        return _seconds(lambda: [model(pixels) for _ in range(calls)], device) / calls

    times: dict[str, list[tuple[float, float]]] = {system: [] for system in models}
    rates = []
    for _ in range(repeats):
        rates.append(2 * _SIDE**3 / _product_s(_SIDE, pixels.dtype, device))
        before = seconds(bare)
        for system, model in models.items():
            if model is bare:
                times[system].append((before, before))
                continue
            spent = seconds(model)
            after = seconds(bare)
            times[system].append((spent, (before + after) / 2))
            before = after
    return times, rates


def _rows(
    times: Mapping[str, list[tuple[float, float]]],
    rates: list[float],
    flops: int,
    batch: int,
    name: str,
) -> list[dict[str, Any]]:
    rate = median(rates)
    rows = []
    for system, pairs in times.items():
        ratios = sorted(spent / beside for spent, beside in pairs)
        row = {
            "system": system,
            "format": name,
            "batch": batch,
            "ms_an_image": round(1e3 * median(spent for spent, _ in pairs) / batch, 2),
            "ratio": round(median(ratios), 3),
            "ratio_spread": [round(ratios[0], 3), round(ratios[-1], 3)],
        }
        if system == BARE:
            seconds = median(spent for spent, _ in pairs)
            row |= {
                "gflop_an_image": round(flops / batch / 1e9, 5),
                "matmul_gflop_s": round(rate / 1e9, 1),
                "share_of_matmul": round(flops / seconds / rate, 3),
            }
        rows.append(row)
    return rows


def _flops(tower: nn.Module, pixels: torch.Tensor) -> int:
    """Floating-point operations of a forward, two a multiply-add."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    # The CPU's fused attention is unknown to the counter; its two products are not.
    plain: AbstractContextManager[object] = sdpa_kernel(SDPBackend.MATH)
    with plain if pixels.device.type == "cpu" else nullcontext(), counter:
        tower(pixels)
    return counter.get_total_flops()
