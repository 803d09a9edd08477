"""A real lack of memory: the batch that does not fit is encoded in smaller ones."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import resource
import numpy as np
from fsb_perception.bundles.bundle import load_bundle
from fsb_perception.inference.config import EngineConfig
from fsb_perception.inference.engine import Engine
engine = Engine(load_bundle("nano"), EngineConfig(device="cpu", threads=1, max_batch=512))
face = np.zeros((96, 96, 3), np.uint8)
engine.encode([face])
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 150 * 2**20,) * 2)
print(len(engine.encode([face] * 512)["gender"]), engine.max_batch)
"""


def test_onnxruntime_encodes_smaller_batches_when_memory_runs_out() -> None:
    command = [sys.executable, "-c", _PROGRAM]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    faces, most = map(int, run.stdout.split())
    assert faces == 512
    assert most < 512
    assert "memory does not suffice for 512 faces at once" in run.stderr
