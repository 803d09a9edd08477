"""All measurements of a bundle's answers for one task on one data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from fsb_perception.calibration import ECE_BINS, confidence_bins
from fsb_perception.tasks import TASKS
from fsb_perception.types import Floats
from fsb_training.data.faces import Source
from fsb_training.datasets.faceset import MISSING
from fsb_training.judging.intervals import Interval, metric_intervals
from fsb_training.judging.metrics import task_metrics, uncalibrated
from fsb_training.judging.subgroups import MIN_COUNT, Grouping, as_json, attributes_of, groupings


@dataclass(frozen=True)
class Bin:
    """Faces with a confidence from ``low`` to ``high``.

    Attributes:
        low, high: edges of the bin.
        count: number of the faces.
        confidence: mean confidence of the answers.
        accuracy: share of the answers that are right.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Result:
    """One task on the labelled faces of one data set.

    Attributes:
        data: name of the data set.
        part: name of the part.
        task: name of the task.
        metrics: see `fsb_training.judging.metrics.task_metrics`.
        intervals: (low, high) of each metric; see `fsb_training.judging.intervals`.
        confusion: counts of faces, (classes, classes): true label by label of the answer.
        before: bins of confidence at temperature 1, without empty ones.
        after: bins of confidence as calibrated, without empty ones.
        groupings: faces by group of people; empty if the data set does not tell groups.
    """

    data: str
    part: str
    task: str
    metrics: dict[str, float | int]
    intervals: dict[str, Interval]
    confusion: NDArray[np.int64]
    before: tuple[Bin, ...]
    after: tuple[Bin, ...]
    groupings: tuple[Grouping, ...]

    @property
    def spec(self) -> str:
        """Data set and part, as the command line takes them."""
        return f"{self.data}:{self.part}"

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the task, in the order of the rows and columns of the confusion."""
        return TASKS[self.task].labels


def results(
    answers: Mapping[str, Mapping[str, Floats]],
    sources: Iterable[Source],
    temperatures: Mapping[str, float],
    min_count: int = MIN_COUNT,
) -> list[Result]:
    """Return a result for every task that both the answers and a data set's labels have.

    Args:
        answers: calibrated probabilities (n, classes) by data set and task.
        sources: the data sets, with the same n faces.
        temperatures: temperatures of the calibration, by task.
        min_count: number of faces that a group of people must have to be judged.
    """
    return [
        _result(source, task, answers[source.faces.name][task], temperatures, min_count)
        for source in sources
        for task in labelled_tasks(source, answers[source.faces.name])
    ]


def labelled_tasks(source: Source, tasks: Iterable[str]) -> list[str]:
    """Return those of ``tasks`` of which ``source`` has a label."""
    labels = source.faces.labels
    return [task for task in tasks if task in labels and (labels[task] != MISSING).any()]


def _result(
    source: Source,
    task: str,
    probabilities: Floats,
    temperatures: Mapping[str, float],
    min_count: int,
) -> Result:
    faces = source.faces
    known = faces.labels[task] != MISSING
    rows, true = probabilities[known], faces.labels[task][known]
    values = faces.values[task][known] if task in faces.values else None
    temperature = temperatures.get(task, 1.0)
    attributes = [attribute.at(known) for attribute in attributes_of(faces)]
    ordered = TASKS[task].ordered
    return Result(
        data=faces.name,
        part=faces.part,
        task=task,
        metrics=task_metrics(task, rows, true, values, temperature),
        intervals=metric_intervals(task, rows, true, values, temperature),
        confusion=_confusion(rows, true),
        before=reliability(uncalibrated(rows, temperature), true),
        after=reliability(rows, true),
        groupings=groupings(rows, true, attributes, ordered=ordered, min_count=min_count),
    )


def _confusion(probabilities: Floats, true: NDArray[np.int64]) -> NDArray[np.int64]:
    from sklearn.metrics import confusion_matrix

    labels = range(probabilities.shape[1])
    return np.asarray(confusion_matrix(true, probabilities.argmax(axis=1), labels=labels))


def reliability(probabilities: Floats, true: NDArray[np.int64]) -> tuple[Bin, ...]:
    """Return the bins of confidence, without empty ones."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    numbers = confidence_bins(confidence)
    return tuple(
        Bin(
            low=number / ECE_BINS,
            high=(number + 1) / ECE_BINS,
            count=int(here.sum()),
            confidence=float(confidence[here].mean()),
            accuracy=float(right[here].mean()),
        )
        for number in range(ECE_BINS)
        if (here := numbers == number).any()
    )


def to_json(measured: Sequence[Result]) -> dict[str, dict[str, dict[str, object]]]:
    """Return plain values by data set and task: the metrics by name, and beside them the rest."""
    tree: dict[str, dict[str, dict[str, object]]] = {}
    for result in measured:
        tree.setdefault(result.data, {})[result.task] = {
            **result.metrics,
            "part": result.part,
            "intervals": {name: list(pair) for name, pair in result.intervals.items()},
            "labels": list(result.labels),
            "confusion": result.confusion.tolist(),
            "reliability_before": [asdict(item) for item in result.before],
            "reliability": [asdict(item) for item in result.after],
            "subgroups": [as_json(grouping) for grouping in result.groupings],
        }
    return tree
