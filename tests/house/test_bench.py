"""The benchmark of the encoders measures what it says; how fast, no test can know."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT


def bench(*arguments: str, script: str = "bench_encoder") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def test_every_row_is_measured(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    chosen = ("--backbones", "PE-Core-micro", "--systems", "merged (LoRA),VPT", "--batches", "1,2")
    run = bench(*chosen, "--repeats", "1", "--report", str(report))
    assert run.returncode == 0, run.stderr
    found = json.loads(report.read_text(encoding="utf-8"))
    numbers = found["backbones"]["PE-Core-micro"]
    systems = ["bare tower", "merged (LoRA)", "VPT"]
    rows = {(row["system"], row["format"], row["batch"]) for row in numbers["latency"]}
    assert rows == {(s, f, b) for s in systems for f in found["formats"] for b in (1, 2)}
    assert all(row["ms_an_image"] > 0 and row["ratio"] > 0 for row in numbers["latency"])
    assert list(numbers["memory_mb"]) == systems
    assert all(megabytes > 0 for megabytes in numbers["memory_mb"].values())
    assert set(found["formats"]) | set(found["skipped"]) == {"fp32", "bf16"}
    # Four blocks of width 64 on 17 tokens, patches and pooling: what pencil and paper give.
    width, tokens = 64, 17
    blocks = 4 * (2 * tokens * 12 * width**2 + 4 * tokens**2 * width)
    stem, pooling = 2 * 16 * 192 * width, 2 * tokens * 2 * width**2 + 2 * 10 * width**2
    (flops,) = {row["gflop_an_image"] for row in numbers["latency"] if "gflop_an_image" in row}
    assert flops == pytest.approx((blocks + stem + pooling) / 1e9, rel=0.01)


def test_an_unknown_name_is_said_at_once() -> None:
    run = bench("--systems", "LoRa")
    assert run.returncode == 1
    assert "unknown system 'LoRa'" in run.stdout + run.stderr


def test_training_is_measured_for_every_row(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    chosen = ("--backbones", "PE-Core-micro:2", "--systems", "LoRA;VPT, text", "--threads", "1")
    run = bench(*chosen, "--repeats", "1", "--report", str(report), script="bench_training")
    assert run.returncode == 0, run.stderr
    found = json.loads(report.read_text(encoding="utf-8"))["PE-Core-micro"]
    assert [row["system"] for row in found["rows"]] == ["LoRA", "VPT, text"]
    for row in found["rows"]:
        assert row["images_a_second"] > 0
        assert row["ratio"] == pytest.approx(
            row["images_a_second"] / row["bare_images_a_second"], rel=1e-6
        )
    assert 0 <= found["waiting"] <= 1


def test_an_unknown_system_is_said_before_anything_is_trained() -> None:
    run = bench("--systems", "LoRa", script="bench_training")
    assert run.returncode == 1
    assert "unknown system 'LoRa'" in run.stdout + run.stderr
