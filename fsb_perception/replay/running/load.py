"""What a process takes while it answers: CPU and memory, each second, and whether they grow."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from fsb_perception.replay.rows import line

_PERIOD = 1.0  # s
_MIB = 1024.0 * 1024.0
_WARM = 0.2  # share of the samples at the start in which memory grows for good reasons
_FEWEST = 10  # samples to say anything of growth


@dataclass(frozen=True)
class Sample:
    """One second of a process.

    Attributes:
        seconds: since there is that process, near enough.
        cpu: cores it used.
        memory_mib: of it in memory.
        gpu_memory_mib: of it on all GPUs; None without NVIDIA's library or a GPU.
    """

    seconds: float
    cpu: float
    memory_mib: float
    gpu_memory_mib: float | None = None


class LoadMeter:
    """Samples of a process, one a second.

    Args:
        pid: of the process; None while there is none.
    """

    def __init__(self, pid: Callable[[], int | None]) -> None:
        self._pid = pid
        self._process: psutil.Process | None = None
        self._begun = 0.0

    def sample(self) -> Sample | None:
        """The last second; None if the process is new, or gone."""
        pid = self._pid()
        if pid is None:
            return None
        try:
            if self._process is None or self._process.pid != pid:
                self._process = psutil.Process(pid)
                self._process.cpu_percent()  # the first call only begins to count
                self._begun = time.monotonic()
                return None
            cpu = self._process.cpu_percent() / 100
            memory = self._process.memory_info().rss / _MIB
        except psutil.Error:
            return None
        return Sample(
            seconds=round(time.monotonic() - self._begun, 2),
            cpu=round(cpu, 3),
            memory_mib=round(memory, 1),
            gpu_memory_mib=_on_gpus(pid),
        )


@contextlib.contextmanager
def metered(path: Path, pid: Callable[[], int | None]) -> Iterator[list[Sample]]:
    """Write a JSON line each second, until the block is left; then the samples are complete.

    Args:
        path: of load.jsonl; replaced.
        pid: of the process to watch.
    """
    samples: list[Sample] = []
    end = threading.Event()

    def work() -> None:
        meter = LoadMeter(pid)
        with path.open("wb") as file:
            while not end.wait(_PERIOD):
                if sample := meter.sample():
                    samples.append(sample)
                    file.write(line(asdict(sample)))

    path.parent.mkdir(parents=True, exist_ok=True)
    thread = threading.Thread(target=work, name="load", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        end.set()
        thread.join()


def load_summary(samples: Sequence[Sample]) -> dict[str, Any]:
    """Means, last values, and growth a minute with its 95 % interval; empty without samples."""
    if not samples:
        return {}
    last = samples[-1]
    found: dict[str, Any] = {
        "cpu_mean": round(sum(s.cpu for s in samples) / len(samples), 3),
        "memory_mib_last": last.memory_mib,
        **_growth("memory_mib", samples, [s.memory_mib for s in samples]),
    }
    on_gpu = [s.gpu_memory_mib for s in samples if s.gpu_memory_mib is not None]
    if len(on_gpu) == len(samples):
        found["gpu_memory_mib_last"] = on_gpu[-1]
        found |= _growth("gpu_memory_mib", samples, on_gpu)
    return found


def _growth(name: str, samples: Sequence[Sample], values: Sequence[float]) -> dict[str, float]:
    from scipy.stats import linregress, t

    first = int(_WARM * len(samples))
    minutes = [s.seconds / 60 for s in samples[first:]]
    if len(minutes) < _FEWEST:
        return {}
    fit = linregress(minutes, values[first:])
    half = float(t.ppf(0.975, len(minutes) - 2) * fit.stderr)
    slope = float(fit.slope)
    return {
        f"{name}_a_minute": round(slope, 3),
        f"{name}_a_minute_low": round(slope - half, 3),
        f"{name}_a_minute_high": round(slope + half, 3),
    }


def _on_gpus(pid: int) -> float | None:
    """Memory of a process on NVIDIA's GPUs; None where nvidia-ml-py or a GPU is missing."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        used = [
            process.usedGpuMemory or 0
            for handle in handles
            for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
            if process.pid == pid
        ]
    except pynvml.NVMLError:
        return None
    return round(sum(used) / _MIB, 1)
