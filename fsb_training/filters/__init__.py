"""Which faces are learned from: filters of the "fit" part, never of what judges.

A filter is a file here, whose options are a field of `FilterOptions`: the one place to add one.
Each is off unless asked for, opened and checked before a picture is read, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsb_perception.options import Options
from fsb_perception.problems import Problems
from fsb_training.datasets.faceset import DatasetError, FaceSet
from fsb_training.filters.agreement import AgreementOptions
from fsb_training.filters.base import Filter, FilterConfig
from fsb_training.filters.celebrities import CelebrityOptions


class FilterOptions(Options):
    """Which faces are not learned from; applied in this order."""

    agreement: AgreementOptions = AgreementOptions()
    celebrities: CelebrityOptions = CelebrityOptions()


@dataclass(frozen=True)
class Outcome:
    """What a filter did to a data set.

    Attributes:
        filter: its name.
        dataset: whose faces.
        before: faces that came in.
        problems: those that were left out.
        kept: how many stayed though there was something to say, by what it was.
    """

    filter: str
    dataset: str
    before: int
    problems: Problems = field(default_factory=Problems)
    kept: Counter[str] = field(default_factory=Counter)

    @property
    def after(self) -> int:
        """Faces that stayed."""
        return self.before - self.problems.total()

    def sentences(self) -> list[str]:
        """The count, and one sentence a reason."""
        return [
            f"{self.dataset}, filter {self.filter}: {self.before:,} -> {self.after:,}",
            *(f"{self.dataset}, filter {self.filter}: {said}" for said in self.reasons()),
        ]

    def reasons(self) -> list[str]:
        """One sentence each."""
        stayed = [f"{count:,} kept: {reason}" for reason, count in self.kept.most_common()]
        return self.problems.sentences() + stayed

    def record(self) -> dict[str, Any]:
        """For the manifest: counts and no file names."""
        counts = {"left_out": dict(self.problems), "kept": dict(self.kept)}
        return {"filter": self.filter, "before": self.before, "after": self.after, **counts}


def open_filters(
    options: FilterOptions, root: Path, datasets: Collection[str]
) -> dict[str, Filter]:
    """The filters that are on, by name; arguments and errors as for `FilterConfig.open`."""
    opened: dict[str, Filter] = {}
    for name in FilterOptions.model_fields:
        config: FilterConfig = getattr(options, name)
        if chosen := config.open(root, datasets):
            opened[name] = chosen
    return opened


def filtered(
    faces: FaceSet, filters: Mapping[str, Filter]
) -> tuple[FaceSet, NDArray[np.int64], tuple[Outcome, ...]]:
    """The faces that all filters keep, their rows in ``faces``, and what each filter did.

    Raises:
        DatasetError: none is left.
    """
    rows: NDArray[np.int64] = np.arange(len(faces))
    outcomes: list[Outcome] = []
    for name, each in filters.items():
        rows, done = _apply(name, each, faces, rows)
        outcomes += done
    if not len(rows):
        said = "; ".join(text for outcome in outcomes for text in outcome.sentences())
        raise DatasetError(f"data.filters leave nothing of {faces.name} to learn from: {said}")
    return faces.subset(rows, faces.part), rows, tuple(outcomes)


def _apply(
    name: str, chosen: Filter, faces: FaceSet, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Iterable[Outcome]]:
    verdicts = chosen.judge(faces.subset(rows, faces.part))
    if verdicts is None:
        return rows, ()
    outcome = Outcome(name, faces.name, len(rows))
    for row, verdict in zip(rows, verdicts, strict=True):
        if not verdict.keep:
            outcome.problems.note(verdict.reason, faces.root / faces.files[row])
        elif verdict.reason:
            outcome.kept[verdict.reason] += 1
    return rows[[verdict.keep for verdict in verdicts]], (outcome,)
