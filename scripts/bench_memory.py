"""Measure the memory of encoders, each in a fresh process."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from multiprocessing import get_context
from pathlib import Path

import torch
from bench_systems import BARE, build_system

from fsb_perception.towers.backbones import BACKBONES

_LIMIT_S = 300


def peaks_mb(backbone: str, systems: Iterable[str], batch: int, device: str) -> dict[str, float]:
    """Return the megabytes that each system adds to a process: weights and one float32 forward.

    Args:
        backbone: row of `fsb_perception.towers.backbones`.
        systems: `BARE`, or names of ``bench_systems.SYSTEMS``.
        batch: faces in the forward.
        device: cpu or cuda; on cuda, what torch allocated there.
    """
    # A server that has imported all this and nothing more splits off a fresh process for each.
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with context.Pool(1, maxtasksperchild=1) as pool:
        jobs = {name: pool.apply_async(_peak, (backbone, name, batch, device)) for name in systems}
        return {name: round(job.get(_LIMIT_S * len(jobs)), 1) for name, job in jobs.items()}


def _peak(backbone: str, system: str, batch: int, device: str) -> float:
    size = BACKBONES[backbone].size
    with torch.inference_mode():
        # Libraries that the first forward loads are no part of the encoder.
        build_system("SigLIP2-micro", BARE)(torch.rand(1, 3, 32, 32))
        before = _resident_mb()
        model = build_system(backbone, system).to(device)
        _forget_peak()
        model(torch.rand(batch, 3, size, size).to(device))
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 1e6
    return _resident_mb(peak=True) - before


def _resident_mb(peak: bool = False) -> float:
    name = "VmHWM:" if peak else "VmRSS:"
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(name))
    return int(kilobytes) * 1024 / 1e6


def _forget_peak() -> None:
    """Reset the peak: building takes more memory than running, and only running counts."""
    ctypes.CDLL(None).malloc_trim(0)  # glibc keeps freed memory, which would count
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
