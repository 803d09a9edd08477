"""Readers of the files that a replay leaves in its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.report.lanes import Values

Json = Mapping[str, Any]


def read_summary(path: Path) -> Json:
    """Return the content of a summary.json.

    Raises:
        BagError: there is no such file, or it is damaged.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BagError(
            f"{path.parent} holds no whole replay, {path.name} cannot be read ({error}); "
            "make one with fsb replay run"
        ) from error


def read_lines(path: Path) -> Iterator[Json]:
    """Yield the lines of a .jsonl file.

    Raises:
        BagError: the file cannot be read, or a line is damaged; names the first such line.
    """
    try:
        with path.open("rb") as file:
            yield from (_parsed(path, number, line) for number, line in enumerate(file, 1))
    except OSError as error:
        raise BagError(f"{path}: {error.strerror}; replay the bag again") from error


def _parsed(path: Path, number: int, line: bytes) -> Json:
    try:
        return json.loads(line)
    except ValueError as error:
        raise BagError(f"{path}:{number}: no JSON: {error}; replay the bag again") from error


def read_load(path: Path) -> dict[str, tuple[Values, Values]]:
    """Return the series of a load.jsonl: times in seconds and values, by name of the measure."""
    rows = list(read_lines(path))
    series = {}
    for name in dict.fromkeys(name for row in rows for name in row if name != "seconds"):
        pairs = [(row["seconds"], row[name]) for row in rows if row.get(name) is not None]
        if pairs:
            times, values = np.asarray(sorted(pairs), float).T
            series[name] = (times, values)
    return series
