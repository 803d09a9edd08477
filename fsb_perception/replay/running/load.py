"""CPU cores and memory of the answering process, once a second, and whether memory grows."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from fsb_perception.replay.rows import line
from fsb_perception.replay.summary import Load

_PERIOD = 1.0  # s
_MIB = 1024.0 * 1024.0
_WARM_UP = 0.2  # share of the samples at the start, in which caches fill and memory may grow
_FEWEST = 10  # samples for a line


@dataclass(frozen=True)
class Sample:
    """One second of a process.

    Attributes:
        seconds: time since the first sight of the process.
        cpu: cores in use.
        memory_mib: resident memory.
        gpu_memory_mib: memory on all GPUs; None without NVIDIA's library or a GPU.
    """

    seconds: float
    cpu: float
    memory_mib: float
    gpu_memory_mib: float | None = None


class LoadMeter:
    """A meter of one process, to be asked once a second.

    Args:
        pid: returns the id of the process; None while there is none.
    """

    def __init__(self, pid: Callable[[], int | None]) -> None:
        self._pid = pid
        self._process: psutil.Process | None = None
        self._begun = 0.0

    def sample(self) -> Sample | None:
        """Return the time since the last call; None if the process is new or gone."""
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
            gpu_memory_mib=_gpu_memory_mib(pid),
        )


@contextlib.contextmanager
def metered(path: Path, pid: Callable[[], int | None]) -> Iterator[list[Sample]]:
    """Measure a process once a second while the block runs, and write each sample as a JSON line.

    Args:
        path: path of load.jsonl; an earlier file is replaced.
        pid: returns the id of the process; None while there is none.

    Yields:
        The samples, complete when the block has ended.
    """
    samples: list[Sample] = []
    end = threading.Event()

    def measure() -> None:
        meter = LoadMeter(pid)
        with path.open("wb") as file:
            while not end.wait(_PERIOD):
                if sample := meter.sample():
                    samples.append(sample)
                    file.write(line(asdict(sample)))

    path.parent.mkdir(parents=True, exist_ok=True)
    thread = threading.Thread(target=measure, name="load", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        end.set()
        thread.join()


def load_summary(samples: Sequence[Sample]) -> Load:
    """Return means, last values, and growth in MiB a minute; nothing is set without samples.

    >>> load_summary([Sample(1.0, cpu=0.5, memory_mib=400.0)]).as_json()
    {'cpu_mean': 0.5, 'memory_mib_last': 400.0}
    """
    if not samples:
        return Load()
    last = samples[-1]
    values = {
        "cpu_mean": round(sum(s.cpu for s in samples) / len(samples), 3),
        "memory_mib_last": last.memory_mib,
        **_growth("memory_mib", samples, [s.memory_mib for s in samples]),
    }
    on_gpu = [s.gpu_memory_mib for s in samples if s.gpu_memory_mib is not None]
    if len(on_gpu) == len(samples):
        values["gpu_memory_mib_last"] = on_gpu[-1]
        values |= _growth("gpu_memory_mib", samples, on_gpu)
    return Load(**values)


def _growth(name: str, samples: Sequence[Sample], values: Sequence[float]) -> dict[str, float]:
    """Return the slope of a line through the values after the warm-up, and its 95 % interval."""
    from scipy.stats import linregress, t

    first = int(_WARM_UP * len(samples))
    minutes = [s.seconds / 60 for s in samples[first:]]
    if len(minutes) < _FEWEST:
        return {}
    fit = linregress(minutes, values[first:])
    # scipy has no error for values that are all equal, as the memory of a GPU often is.
    error = 0.0 if len(set(values[first:])) == 1 else fit.stderr
    half = float(t.ppf(0.975, len(minutes) - 2) * error)
    slope = float(fit.slope)
    return {
        f"{name}_a_minute": round(slope, 3),
        f"{name}_a_minute_low": round(slope - half, 3),
        f"{name}_a_minute_high": round(slope + half, 3),
    }


def _gpu_memory_mib(pid: int) -> float | None:
    """Return a process's memory on NVIDIA GPUs; None where nvidia-ml-py or a GPU is missing."""
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
