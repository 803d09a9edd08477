"""Files of a replay in its folder: results.jsonl, timing.jsonl, load.jsonl and summary.json."""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

import fsb_perception
from fsb_perception.config import PerceptionConfig
from fsb_perception.files import sha256_of, sha256_of_folder, write_whole
from fsb_perception.problems import Problems
from fsb_perception.replay.answering import Timing
from fsb_perception.replay.rows import Row, is_answered, line
from fsb_perception.replay.summary import (
    FORMAT,
    Answers,
    BagFile,
    Code,
    Identity,
    Load,
    Percentiles,
    Play,
    Summary,
    Timings,
)

RESULTS, TIMING, SUMMARY = "results.jsonl", "timing.jsonl", "summary.json"
LOAD = "load.jsonl"


@dataclass
class Counts:
    """Numbers of images and faces, and the times they took in seconds."""

    frames: int = 0
    failed: int = 0
    dropped: int = 0
    by_camera: Counter[str] = field(default_factory=Counter)
    faces: set[str] = field(default_factory=set)
    decode: list[float] = field(default_factory=list)
    process: list[float] = field(default_factory=list)
    wait: list[float] = field(default_factory=list)

    def add(self, row: Row, timing: Timing) -> None:
        """Count an image."""
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

    def timings(self) -> Timings:
        """Return the percentiles of the times."""
        return Timings(
            decode=_percentiles(self.decode),
            process=_percentiles(self.process),
            wait=_percentiles(self.wait),
        )


def write_answers(folder: Path, answered: Iterable[tuple[Row, Timing]]) -> Counts:
    """Write every row and its timing as it comes.

    Args:
        folder: made if it is missing; the files of an earlier run are replaced.
        answered: rows and timings; see `fsb_perception.replay.answering.Answering`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SUMMARY).unlink(missing_ok=True)  # a summary stands for a complete run
    counts = Counts()
    with (folder / RESULTS).open("wb") as results, (folder / TIMING).open("wb") as timings:
        for row, timing in answered:
            results.write(line(row))
            timings.write(line(asdict(timing)))
            counts.add(row, timing)
    return counts


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a results.jsonl."""
    with path.open("rb") as file:
        yield from map(json.loads, file)


def identity(
    bag: Path, topics: Sequence[str], mode: str, bundle_id: str, config: PerceptionConfig
) -> Identity:
    """Return everything that the answers depend on."""
    settings = config.model_dump(mode="json")
    return Identity(
        format=FORMAT,
        bag=BagFile(name=bag.name, sha256=_sha256_of_bag(bag)),
        topics=list(topics),
        mode=mode,
        bundle=bundle_id,
        config=settings,
        config_sha256=hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
        code=Code(version=fsb_perception.__version__, sha256=code_hash()),
    )


@functools.cache
def code_hash() -> str:
    """Return the sha256 of the code that answers."""
    # From this file, not from the package, whose path may begin at the generated messages.
    return sha256_of_folder(Path(__file__).parents[1], "*.py")


def answers(
    identity: Identity,
    counts: Counts,
    folder: Path,
    problems: Problems,
    load: Load,
    play: Play | None,
) -> Answers:
    """Return the part of the summary that needs no truth.

    Args:
        identity: everything that the answers depend on.
        counts: counts of `write_answers`.
        folder: folder of the written results.
        problems: faults of the recording.
        load: load of the answering process.
        play: outcome of playing in real time; None in other modes.
    """
    values = {
        "results_sha256": sha256_of(folder / RESULTS),
        "frames": counts.frames,
        "failed": counts.failed,
        "dropped": counts.dropped,
        "cameras": dict(sorted(counts.by_camera.items())),
        "tracks": len(counts.faces),
        "problems": problems.as_json(),
        "timing": counts.timings(),
        "load": load,
    }
    played = {"play": play} if play else {}
    return Answers.model_validate({**identity.as_json(), **values, **played})


def kept_answers(folder: Path, expected: Identity) -> Answers | None:
    """Return the answers of an earlier run with the same identity, if its results are intact."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        answers = Answers.model_validate(summary)
        same = Identity.model_validate(summary) == expected
        intact = same and sha256_of(folder / RESULTS) == answers.results_sha256
    except (OSError, ValueError):  # pydantic's ValidationError is a ValueError
        return None
    return answers if intact else None


def write_summary(folder: Path, summary: Summary) -> None:
    """Write summary.json, whole or not at all: where it exists, the replay is complete.

    Raises:
        FileError: the file cannot be written.
    """
    text = json.dumps(summary.as_json(), indent=2, allow_nan=False)
    write_whole(folder / SUMMARY, text + "\n")


def _sha256_of_bag(path: Path) -> str:
    return sha256_of_folder(path) if path.is_dir() else sha256_of(path)


def _percentiles(seconds: list[float]) -> Percentiles:
    if not seconds:
        return Percentiles()
    p50, p95, p99 = (round(float(v), 3) for v in np.percentile(seconds, (50, 95, 99)) * 1e3)
    return Percentiles(p50_ms=p50, p95_ms=p95, p99_ms=p99)
