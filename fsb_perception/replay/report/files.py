"""The files of a replay, as they are read for its page."""

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
    """A summary.json; `BagError` if there is none, or it is damaged."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BagError(
            f"{path.parent} holds no whole replay, {path.name} cannot be read ({error}); "
            "make one with fsb replay run"
        ) from error


def read_lines(path: Path) -> Iterator[Json]:
    """The lines of a .jsonl file; `BagError` names the first that is damaged."""
    try:
        with path.open("rb") as file:
            yield from (_parsed(path, number, line) for number, line in enumerate(file, 1))
    except OSError as error:
        raise BagError(f"{path}: {error.strerror}; replay the bag anew") from error


def _parsed(path: Path, number: int, line: bytes) -> Json:
    try:
        return json.loads(line)
    except ValueError as error:
        raise BagError(f"{path}:{number}: no JSON: {error}; replay the bag anew") from error


def read_load(path: Path) -> dict[str, tuple[Values, Values]]:
    """Times in seconds, and values, by the name of what was measured."""
    rows = list(read_lines(path))
    found = {}
    for name in dict.fromkeys(name for row in rows for name in row if name != "seconds"):
        pairs = [(row["seconds"], row[name]) for row in rows if row.get(name) is not None]
        if pairs:
            times, values = np.asarray(sorted(pairs), float).T
            found[name] = (times, values)
    return found
