"""Criteria for a replay: a YAML list of lines such as ``gender.track_accuracy >= 0.9``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from fsb_perception.metric_words import metric_of
from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_perception.replay.metrics import CriterionResult
from fsb_perception.replay.summary import MEASURED

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}

_LINE = re.compile(r"\s*(?P<name>[\w.]+)\s*(?P<sign>>=|<=|>|<)\s*(?P<value>[-+.\deE]+)\s*")


@dataclass(frozen=True)
class Criterion:
    """One demand on a number of the summary.

    >>> criterion = Criterion("gender.ece", "<=", 0.05)
    >>> str(criterion), criterion.needs_truth
    ('gender.ece <= 0.05', True)
    >>> criterion.judge({"gender.ece": 0.04}).met
    True

    Attributes:
        name: dotted name of the number.
        sign: key of `OPERATORS`.
        value: limit that the number is compared with.
    """

    name: str
    sign: str
    value: float

    @property
    def needs_truth(self) -> bool:
        """True if the number is measured against the truth."""
        return self.name.partition(".")[0] not in MEASURED

    def check(self) -> None:
        """Raise `UnknownNameError` if no replay measures such a number."""
        metric_of(self.name)

    def judge(self, numbers: Mapping[str, float]) -> CriterionResult:
        """Compare the number of a summary with the limit.

        Args:
            numbers: numbers by dotted name; see `Summary.numbers`.

        Raises:
            UnknownNameError: the number was not measured.
        """
        if self.name not in numbers:
            raise UnknownNameError("metric", self.name, numbers)
        number = numbers[self.name]
        met = OPERATORS[self.sign](number, self.value)
        return CriterionResult(
            name=self.name, sign=self.sign, value=self.value, found=number, met=met
        )

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self.value:g}"


def load_criteria(path: Path) -> list[Criterion]:
    """Read the criteria of a file.

    Raises:
        OptionError: the file or a line of it cannot be read; the message names the line.
    """
    try:
        lines = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionError(f"cannot read criteria from {path}: {error}") from error
    if not isinstance(lines, list) or not lines:
        raise OptionError(f"{path} must hold a list, one criterion a line: - gender.ece <= 0.05")
    return [_criterion(path, line) for line in lines]


def _criterion(path: Path, line: object) -> Criterion:
    match = _LINE.fullmatch(line) if isinstance(line, str) else None
    try:
        if match:
            return Criterion(match["name"], match["sign"], float(match["value"]))
    except ValueError:
        pass  # two signs in the number, for instance 1-2
    signs = "|".join(OPERATORS)
    raise OptionError(f"{path}: {line!r} is no criterion; write NAME {signs} NUMBER")
