"""What a team demands of a replay: a YAML list of lines like ``gender.track_accuracy >= 0.9``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fsb_perception.options import OptionError, flatten
from fsb_perception.registry import UnknownNameError

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
MEASURED = ("timing", "load", "play")
"""What criteria can be about without the truth: parts of the summary."""

_LINE = re.compile(r"\s*(?P<name>[\w.]+)\s*(?P<sign>>=|<=|>|<)\s*(?P<value>[-+.\deE]+)\s*")


@dataclass(frozen=True)
class Criterion:
    """One demand.

    Attributes:
        name: of a metric, dotted as in summary.json.
        sign: key of `OPERATORS`.
        value: what it is compared with.
    """

    name: str
    sign: str
    value: float

    def judged(self, metrics: Mapping[str, Any]) -> Judged:
        """Whether metrics meet it; `UnknownNameError` if they do not have it."""
        known = numbers(metrics)
        if self.name not in known:
            raise UnknownNameError("metric", self.name, known)
        found = known[self.name]
        return Judged(self, found, OPERATORS[self.sign](found, self.value))

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self.value:g}"


class Judged(NamedTuple):
    """A criterion, the value that was found, and whether it is met."""

    criterion: Criterion
    found: float
    met: bool

    def as_json(self) -> dict[str, Any]:
        """As summary.json holds it."""
        return {**asdict(self.criterion), "found": self.found, "met": self.met}

    def __str__(self) -> str:
        return f"{self.criterion}, found {self.found:.4g}"


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Every metric that is a number, by dotted name."""
    return {name: v for name, v in flatten(metrics).items() if isinstance(v, int | float)}


def load_criteria(path: Path) -> list[Criterion]:
    """The demands of a file; `OptionError` names what cannot be one."""
    try:
        lines = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionError(f"cannot read criteria from {path}: {error}") from error
    if not isinstance(lines, list) or not lines:
        raise OptionError(f"{path} must hold a list, a criterion a line: - gender.ece <= 0.05")
    return [_criterion(path, line) for line in lines]


def _criterion(path: Path, line: object) -> Criterion:
    matched = _LINE.fullmatch(line) if isinstance(line, str) else None
    try:
        if matched:
            return Criterion(matched["name"], matched["sign"], float(matched["value"]))
    except ValueError:
        pass
    raise OptionError(f"{path}: {line!r} is no criterion; one is NAME {'|'.join(OPERATORS)} NUMBER")
