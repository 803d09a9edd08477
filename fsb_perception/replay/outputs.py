"""What a replay leaves in a folder: results.jsonl, timing.jsonl, load.jsonl and summary.json."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import fsb_perception
from fsb_perception.config import PerceptionConfig
from fsb_perception.problems import Problems
from fsb_perception.replay.answering import Timing
from fsb_perception.replay.rows import Row, is_answered, line

RESULTS, TIMING, SUMMARY = "results.jsonl", "timing.jsonl", "summary.json"
LOAD = "load.jsonl"
FORMAT = 2
_BLOCK = 1 << 20


@dataclass
class Counts:
    """What a replay has seen so far."""

    frames: int = 0
    failed: int = 0
    dropped: int = 0
    by_camera: Counter[str] = field(default_factory=Counter)
    faces: set[str] = field(default_factory=set)
    decode: list[float] = field(default_factory=list)
    process: list[float] = field(default_factory=list)
    wait: list[float] = field(default_factory=list)

    def add(self, row: Row, timing: Timing) -> None:
        """Take in a frame."""
        self.frames += 1
        self.by_camera[row["camera"]] += 1
        if not is_answered(row):
            self.failed += "error" in row
            self.dropped += "dropped" in row
            return
        self.faces |= {face["face_id"] for face in row["faces"]}
        self.decode.append(timing.decode)
        self.process.append(timing.process)
        if timing.wait:
            self.wait.append(timing.wait)


def write_answers(folder: Path, answered: Iterable[tuple[Row, Timing]]) -> tuple[Counts, str]:
    """Write every row and its timing as it comes.

    Args:
        folder: is made; what an earlier run left in it is replaced.
        answered: as an `fsb_perception.replay.running.offline.Answering` gives it.

    Returns:
        What was seen, and the sha256 of results.jsonl.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SUMMARY).unlink(missing_ok=True)  # it stands for a whole run
    counts, digest = Counts(), hashlib.sha256()
    with (folder / RESULTS).open("wb") as results, (folder / TIMING).open("wb") as timings:
        for row, timing in answered:
            said = line(row)
            results.write(said)
            digest.update(said)
            timings.write(line(asdict(timing)))
            counts.add(row, timing)
    return counts, digest.hexdigest()


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a results.jsonl."""
    with path.open("rb") as file:
        yield from map(json.loads, file)


def identity(
    bag: Path, topics: Sequence[str], mode: str, bundle_id: str, config: PerceptionConfig
) -> dict[str, Any]:
    """All that the answers depend on; hashes are sha256."""
    settings = config.model_dump(mode="json")
    return {
        "format": FORMAT,
        "bag": {"name": bag.name, "sha256": hash_of(bag)},
        "topics": list(topics),
        "mode": mode,
        "bundle": bundle_id,
        "config": settings,
        "config_sha256": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
        "code": {
            "version": fsb_perception.__version__,
            "sha256": code_hash(),
        },
    }


@functools.cache
def code_hash() -> str:
    """sha256 of the code that answers."""
    # Of this file, not of the package, which may begin where the generated messages lie.
    return hash_of(Path(__file__).parents[1], "*.py")


def outcome(counts: Counts, results_sha256: str, problems: Problems) -> dict[str, Any]:
    """What came of a replay."""
    return {
        "results_sha256": results_sha256,
        "frames": counts.frames,
        "failed": counts.failed,
        "dropped": counts.dropped,
        "cameras": dict(sorted(counts.by_camera.items())),
        "tracks": len(counts.faces),
        "problems": problems.as_json(),
        "timing": {
            "decode": _percentiles(counts.decode),
            "process": _percentiles(counts.process),
            "wait": _percentiles(counts.wait),
        },
    }


def unchanged(folder: Path, expected: dict[str, Any]) -> dict[str, Any] | None:
    """The summary of an earlier run of the same on the same, if all that it wrote is there."""
    try:
        said = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        same = all(said.get(name) == value for name, value in expected.items())
        whole = same and hash_of(folder / RESULTS) == said["results_sha256"]
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return said if whole else None


def write_summary(folder: Path, content: dict[str, Any]) -> Path:
    """Write summary.json in one stroke: where it is, the replay is whole."""
    path = folder / SUMMARY
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
    return path


def hash_of(path: Path, pattern: str = "*") -> str:
    """sha256 of a file, or of the files of a folder and their names below it."""
    total = hashlib.sha256()
    files = sorted(p for p in path.rglob(pattern) if p.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            total.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as opened:
            while block := opened.read(_BLOCK):
                total.update(block)
    return total.hexdigest()


def _percentiles(seconds: list[float]) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds; empty without any."""
    if not seconds:
        return {}
    values = np.percentile(seconds, (50, 95, 99)) * 1e3
    return {f"p{p}_ms": round(float(v), 3) for p, v in zip((50, 95, 99), values, strict=True)}
