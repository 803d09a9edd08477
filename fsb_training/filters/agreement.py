"""The filter against label noise: it keeps the faces on whose label a second opinion agrees.

    second opinion (a CSV of probabilities)  --+
                                               +--> same top label: keep
    label of the data set  --------------------+    another one: leave out

Any bundle that did not learn from these faces can be the second opinion:

    fsb-train evaluate --bundle NAME --data-root DIR --datasets FairFace:train --predictions p.csv
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsb_perception.options import option
from fsb_perception.tasks import TASKS
from fsb_training.datasets import DATASETS
from fsb_training.datasets.faceset import MISSING, DatasetError, FaceSet
from fsb_training.datasets.tables import known_label, read_csv
from fsb_training.filters.base import KEEP, FilterConfig, Verdict

_COLUMNS = ("dataset", "task", "file", "true", "p0")
Opinions = dict[tuple[str, str], dict[str, list[float]]]
"""Probabilities of a task's labels by file, by data set and task."""


class AgreementOptions(FilterConfig):
    """The second opinion, the faces that it judges, and how far it must agree."""

    predictions: str = option(
        "", "second opinion: a CSV file that fsb-train evaluate --predictions wrote; empty is off"
    )
    datasets: tuple[str, ...] = option((), "data sets that it judges; empty is all of the file")
    tasks: tuple[str, ...] = option((), "tasks that it judges; empty is all of the file")
    minimum: float = option(
        0.0, "smallest probability of the label that counts as agreement", ge=0, le=1
    )
    within_one: bool = option(
        False, "for ordered labels, such as age groups, the next one agrees too"
    )
    unjudged: str = option(
        "keep", "treatment of faces that the file lacks", choices=("keep", "drop")
    )

    def open(self, root: Path, datasets: Collection[str]) -> Agreement | None:
        """Read the second opinion; see `FilterConfig.open`."""
        del root, datasets
        DATASETS.check(self.datasets)
        TASKS.check(self.tasks)
        if not self.predictions:
            return None
        table = Path(self.predictions)
        opinions = _read(table, self.datasets, self.tasks)
        for name in self.datasets:
            if name not in {dataset for dataset, _ in opinions}:
                raise DatasetError(
                    f"data.filters.agreement.datasets: got {name}, of which {table} has no row"
                )
        for name in self.tasks:
            if name not in {judged for _, judged in opinions}:
                raise DatasetError(
                    f"data.filters.agreement.tasks: got {name}, of which {table} has no row"
                )
        return Agreement(self, opinions)


@dataclass(frozen=True)
class Agreement:
    """Leaves out the faces whose label a second opinion contradicts.

    Attributes:
        options: of the filter.
        opinions: the file's content.
    """

    options: AgreementOptions
    opinions: Opinions

    def judge(self, faces: FaceSet) -> Sequence[Verdict] | None:
        """Keep a face that agrees in every judged task that it has a label of."""
        tasks = [name for name in faces.labels if (faces.name, name) in self.opinions]
        return [self._verdict(faces, tasks, row) for row in range(len(faces))] if tasks else None

    def _verdict(self, faces: FaceSet, tasks: Sequence[str], row: int) -> Verdict:
        verdict = KEEP
        for name in tasks:
            label = int(faces.labels[name][row])
            if label == MISSING:
                continue
            probabilities = self.opinions[faces.name, name].get(faces.files[row])
            if probabilities is None:
                verdict = Verdict(self.options.unjudged == "keep", f"{name} was not judged")
            elif not self._agrees(name, probabilities, label):
                return Verdict(False, f"another {name} in the second opinion")
        return verdict

    def _agrees(self, name: str, probabilities: list[float], label: int) -> bool:
        reach = 1 if self.options.within_one and TASKS[name].ordered else 0
        near = range(max(0, label - reach), min(len(probabilities), label + reach + 1))
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        return best in near and sum(probabilities[i] for i in near) >= self.options.minimum


def _read(table: Path, datasets: Collection[str], tasks: Collection[str]) -> Opinions:
    opinions: Opinions = {}
    names = {name: name for name in TASKS}
    for where, row in read_csv(table, _COLUMNS):
        name = known_label(row["task"], names, where, kind="task")
        if (datasets and row["dataset"] not in datasets) or (tasks and name not in tasks):
            continue
        files = opinions.setdefault((row["dataset"], name), {})
        if row["file"] in files:
            raise DatasetError(f"{where}: a second row on {name} of {row['file']}")
        files[row["file"]] = _probabilities(row, name, where)
    return opinions


def _probabilities(row: dict[str, str], name: str, where: str) -> list[float]:
    texts = [text for column, text in row.items() if column not in _COLUMNS[:4] and text]
    classes = len(TASKS[name].labels)
    if len(texts) != classes:
        raise DatasetError(f"{where}: {len(texts)} probabilities, but {name} has {classes} labels")
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        numbers = []
    if not numbers or not all(0 <= number <= 1 for number in numbers):
        raise DatasetError(f"{where}: {', '.join(texts)} are not probabilities from 0 to 1")
    return numbers
