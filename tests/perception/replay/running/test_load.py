"""Load of a process, measured on real processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fsb_perception.replay.running.load import Sample, load_summary, metered


def test_a_busy_process_is_seen_to_be_busy_and_a_gone_one_to_be_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "while True: pass"]
    with subprocess.Popen(command) as busy:
        pids = [None, busy.pid]
        with metered(tmp_path / "load.jsonl", lambda: pids[1]) as samples:
            deadline = time.monotonic() + 30
            while len(samples) < 2 and time.monotonic() < deadline:
                time.sleep(0.1)
            busy.kill()
            busy.wait()
            time.sleep(1.5)  # no line of a process that is no more
    assert samples[0].cpu > 0.2
    assert samples[0].memory_mib > 1
    lines = [json.loads(line) for line in (tmp_path / "load.jsonl").read_text().splitlines()]
    assert len(lines) == len(samples)
    assert all(line["seconds"] < 30 for line in lines)


@pytest.mark.parametrize("slope", [0.0, 6.0, -3.0])
def test_growth_has_an_interval(slope: float) -> None:
    wave = (0.0, 0.2, -0.2)
    samples = [
        Sample(float(s), 0.5, 400 + slope * s / 60 + wave[s % 3], None) for s in range(1, 61)
    ]
    load = load_summary(samples)
    assert load.memory_mib_a_minute == pytest.approx(slope, abs=0.2)
    assert load.memory_mib_a_minute_low < slope < load.memory_mib_a_minute_high
    assert load.gpu_memory_mib_last is None


def test_memory_that_stays_the_same_does_not_grow() -> None:
    load = load_summary([Sample(float(s), 0.5, 400.0, 100.0) for s in range(1, 21)])
    assert (load.memory_mib_a_minute_low, load.memory_mib_a_minute_high) == (0, 0)
    assert load.gpu_memory_mib_a_minute_high == 0


def test_few_samples_have_no_growth() -> None:
    assert load_summary([]).as_json() == {}
    load = load_summary([Sample(1.0, 0.5, 400.0, 100.0)]).as_json()
    assert load == {"cpu_mean": 0.5, "memory_mib_last": 400.0, "gpu_memory_mib_last": 100.0}
