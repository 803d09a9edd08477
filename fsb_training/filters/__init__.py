"""Filters of the faces that are learned from ("fit"); the faces that judge are never filtered.

To add a filter, write a file here and enter its options as a field of `FilterOptions`. Each filter
is off by default. It opens and checks its files before a picture is read, and counts its effect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsb_perception.options import Options
from fsb_perception.problems import Problems
from fsb_training.datasets.faceset import DatasetError, FaceSet
from fsb_training.filters.agreement import AgreementOptions
from fsb_training.filters.base import Filter, FilterConfig
from fsb_training.filters.celebrities import CelebrityOptions


class FilterOptions(Options):
    """The filters, in the order in which they are applied."""

    agreement: AgreementOptions = AgreementOptions()
    celebrities: CelebrityOptions = CelebrityOptions()


@dataclass(frozen=True)
class Outcome:
    """The effect of a filter on a data set.

    Attributes:
        filter: its name.
        dataset: its name.
        before: number of faces that came in.
        problems: the faces that were left out.
        kept: number of faces that stayed with a remark, by remark.
    """

    filter: str
    dataset: str
    before: int
    problems: Problems = field(default_factory=Problems)
    kept: Counter[str] = field(default_factory=Counter)

    @property
    def after(self) -> int:
        """Number of faces that stayed."""
        return self.before - self.problems.total()

    def sentences(self) -> list[str]:
        """Return one sentence with the counts, and one for each reason."""
        return [
            f"{self.dataset}, filter {self.filter}: {self.before:,} -> {self.after:,}",
            *(f"{self.dataset}, filter {self.filter}: {reason}" for reason in self.reasons()),
        ]

    def reasons(self) -> list[str]:
        """Return one sentence for each reason to leave out or to keep with a remark."""
        stayed = [f"{count:,} kept: {reason}" for reason, count in self.kept.most_common()]
        return self.problems.sentences() + stayed

    def record(self) -> dict[str, object]:
        """Return the counts for the manifest, without file names."""
        counts = {"left_out": dict(self.problems), "kept": dict(self.kept)}
        return {"filter": self.filter, "before": self.before, "after": self.after, **counts}


def open_filters(
    options: FilterOptions, root: Path, datasets: Collection[str]
) -> dict[str, Filter]:
    """Open the filters that are on, by name; arguments and errors as for `FilterConfig.open`."""
    opened: dict[str, Filter] = {}
    for name in FilterOptions.model_fields:
        config: FilterConfig = getattr(options, name)
        if chosen := config.open(root, datasets):
            opened[name] = chosen
    return opened


def filtered(
    faces: FaceSet, filters: Mapping[str, Filter]
) -> tuple[FaceSet, NDArray[np.int64], tuple[Outcome, ...]]:
    """Return the faces that all filters keep, their rows in ``faces``, and each filter's effect.

    Raises:
        DatasetError: none is left.
    """
    rows: NDArray[np.int64] = np.arange(len(faces))
    outcomes: list[Outcome] = []
    for name, chosen in filters.items():
        rows, done = _apply(name, chosen, faces, rows)
        outcomes += done
    if not len(rows):
        counts = "; ".join(text for outcome in outcomes for text in outcome.sentences())
        raise DatasetError(
            f"data.filters leave nothing of {faces.name} to learn from: {counts}; relax them"
        )
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
