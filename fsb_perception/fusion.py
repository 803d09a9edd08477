"""Fusion over time: the looks at a face become a belief, and the belief becomes a label.

A look is one set of calibrated probabilities from one frame. Each task keeps two numbers, both in
the time of the images, so that the frame rate does not matter:

    pool    the mean of all looks, each weighted by its quality, by the time it stands for, and by
            exp(-age / time_constant): an exponential moving average for irregular samples (Eckner,
            2014), corrected for its start so that the first look counts at once
    trust   1 after a good look; falls as exp(-t / time_constant) without one: while the face is
            unseen, too bad to read, or read with a low quality

    belief  trust * pool + (1 - trust) * uniform

The pool is a mean of probabilities and not of their logarithms for two reasons. One confidently
wrong look cannot veto the others. And looks at the same face a thirtieth of a second apart repeat
each other's errors, so that a product would count one piece of evidence many times.

Calibration: looks that agree leave a calibrated confidence as it is. The more looks disagree, the
more the mean of calibrated probabilities is underconfident: right more often than its number states
(Ranjan & Gneiting, JRSS B 2010). It errs to that side only, as long as each look is calibrated. The
missing trust lowers it further, on purpose. So ``confidence`` is the calibrated probability of one
look, and a careful estimate after many.

From belief to label: a class becomes the label at ``enter``; below ``exit`` the label becomes
UNKNOWN. Another class takes over when it reaches ``enter`` and leads by the difference of the two,
so that two classes of nearly equal probability do not alternate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from fsb_perception.options import Options, option
from fsb_perception.tasks import TASKS
from fsb_perception.types import UNKNOWN, AttributeEstimate, Floats

_SECOND = 1e9
# A look stands for the time since the look before it, but at most for this time: one look after a
# gap is still one look. The first look stands for exactly this time.
_LONGEST_LOOK = 0.1  # s
_LEAST_WEIGHT = 1e-3  # a look without quality still counts if it is the only one


class TaskFusionConfig(Options):
    """Options of one task: how fast looks fade, and when a class becomes the label.

    >>> TaskFusionConfig(enter=0.8).exit
    0.5
    """

    time_constant: float = option(
        2.0, "looks count less by 1/e for each such time", unit="s", ge=0.05, le=600.0, live=True
    )
    enter: float = option(
        0.6, "probability from which a class becomes the label", ge=0.0, le=1.0, live=True
    )
    exit: float = option(
        0.5, "probability below which the label becomes unknown", ge=0.0, le=1.0, live=True
    )
    settle_time: float = option(
        1.0, "a label held for so long is stable", unit="s", ge=0.0, le=60.0, live=True
    )

    @model_validator(mode="after")
    def _check(self) -> TaskFusionConfig:
        if self.exit > self.enter:
            raise ValueError(f"exit ({self.exit:g}) must not be above enter ({self.enter:g})")
        return self


# Where a task's defaults differ from those above. An age does not change during a talk, but an
# expression does. The thresholds follow the number of classes and the certainty of the shipped
# bundle.
_TASK_DEFAULTS: dict[str, dict[str, float]] = {
    "gender": {"time_constant": 6.0, "enter": 0.7, "exit": 0.6},
    "age_group": {"time_constant": 8.0, "enter": 0.4, "exit": 0.3, "settle_time": 1.5},
    "emotion": {"time_constant": 0.6, "enter": 0.5, "exit": 0.38, "settle_time": 0.5},
}


class FusionConfig(Options):
    """Options of the fusion of a face's looks, with a group for each task.

    The groups follow the table of tasks, so that a new row has its options at once.

    >>> config = FusionConfig.model_validate({"emotion": {"enter": 0.7}})
    >>> config.for_task("emotion").enter, config.for_task("emotion").exit
    (0.7, 0.38)
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, TaskFusionConfig] = Field(init=False)  # a group for each task

    min_quality: float = option(
        0.05, "a face of lower quality is not looked at", ge=0.0, le=1.0, live=True
    )
    good_quality: float = option(
        0.3, "looks of this quality and more count fully", ge=0.01, le=1.0, live=True
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_groups(cls, values: Mapping[str, object]) -> dict[str, object]:
        """Give each task its group, in the order of the table, with its defaults for the rest."""
        own = {name: value for name, value in values.items() if name not in TASKS}
        TASKS.check(name for name in own if name not in cls.model_fields)
        return own | {name: _group(name, values.get(name, {})) for name in TASKS}

    def for_task(self, name: str) -> TaskFusionConfig:
        """Return the options of a task; the general defaults if only the bundle has that task."""
        return self.__pydantic_extra__.get(name) or TaskFusionConfig()


def _group(name: str, values: object) -> object:
    return {**_TASK_DEFAULTS.get(name, {}), **values} if isinstance(values, dict) else values


class TaskRow(Protocol):
    """The properties of a task that fusion needs; `BundleTask` and `Task` both fit.

    >>> def classes(row: TaskRow) -> int:
    ...     return len(row.labels)
    >>> classes(TASKS["gender"])
    2
    """

    @property
    def name(self) -> str:
        """Name of the task."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its classes, in the order of its probabilities."""
        ...


class FaceFusion:
    """The beliefs about the faces of one camera.

    Args:
        tasks: in the order of the reports.
        config: see `FusionConfig`; may be replaced at any time.

    >>> fusion = FaceFusion([TASKS["gender"]])
    >>> look = {"gender": np.array([0.1, 0.9], np.float32)}
    >>> (gender,) = fusion.update("face_1", 1_000_000_000, look, quality=1.0)
    >>> gender.label, round(gender.confidence, 3), gender.looks
    ('female', 0.9, 1)
    """

    def __init__(self, tasks: Iterable[TaskRow], config: FusionConfig | None = None) -> None:
        self.config = config or FusionConfig()
        self._tasks = tuple(tasks)
        self._faces: dict[str, dict[str, _Belief]] = {}

    def __len__(self) -> int:
        """Return the number of faces in memory."""
        return len(self._faces)

    def update(
        self, face_id: str, stamp: int, look: Mapping[str, Floats] | None, quality: float = 0.0
    ) -> tuple[AttributeEstimate, ...]:
        """Take in one frame of one face.

        Args:
            face_id: a new one begins with this call.
            stamp: of the frame, in nanoseconds; if it goes back, no time has passed.
            look: calibrated probabilities (classes,) by task; None if the face was not read.
            quality: of the look, in [0, 1].

        Returns:
            One estimate for each task.
        """
        if face_id not in self._faces:
            self._faces[face_id] = {
                row.name: _Belief(len(row.labels), stamp) for row in self._tasks
            }
        beliefs = self._faces[face_id]
        weight = min(1.0, max(_LEAST_WEIGHT, quality / self.config.good_quality))
        for row in self._tasks:
            config = self.config.for_task(row.name)
            beliefs[row.name].advance(stamp, config)
            if look is not None:
                beliefs[row.name].look(look[row.name], weight)
            beliefs[row.name].decide(config)
        return tuple(
            _report(row, beliefs[row.name], self.config.for_task(row.name)) for row in self._tasks
        )

    def forget(self, face_id: str) -> None:
        """Drop a face that has ended."""
        self._faces.pop(face_id, None)


class _Belief:
    """One task of one face; see the top of this file."""

    def __init__(self, classes: int, stamp: int) -> None:
        self.pool = np.full(classes, 1.0 / classes)
        self.mass = 0.0  # seconds of looks behind the pool, older ones counting less
        self.trust = 0.0
        self.label: int | None = None
        self.stamp = self.since = stamp
        self.last_look = self.looks = self.raw_label = 0
        self.raw_confidence = 0.0
        self._span = _LONGEST_LOOK

    @property
    def belief(self) -> np.ndarray:
        """float64 (classes,), sum 1."""
        return self.trust * self.pool + (1.0 - self.trust) / len(self.pool)

    def advance(self, stamp: int, config: TaskFusionConfig) -> None:
        stamp = max(stamp, self.stamp)
        passed = (stamp - self.stamp) / _SECOND
        kept = math.exp(-passed / config.time_constant)
        self.mass *= kept
        self.trust *= kept
        self._span = min(passed, _LONGEST_LOOK) if self.looks else _LONGEST_LOOK
        self.stamp = stamp

    def look(self, probabilities: Floats, weight: float) -> None:
        look = np.asarray(probabilities, np.float64)
        look = look / look.sum()
        added = weight * max(self._span, 1e-6)
        self.mass += added
        self.pool += (added / self.mass) * (look - self.pool)
        self.trust = max(self.trust, weight)
        self.looks += 1
        self.last_look = self.stamp
        self.raw_label = int(look.argmax())
        self.raw_confidence = float(look.max())

    def decide(self, config: TaskFusionConfig) -> None:
        belief = self.belief
        best = int(belief.argmax())
        label = self.label
        if label is not None and belief[label] < config.exit:
            label = None
        lead = math.inf if label is None else belief[best] - belief[label]
        if belief[best] >= config.enter and lead >= config.enter - config.exit and self.looks:
            label = best
        if label != self.label:
            self.label, self.since = label, self.stamp


def _report(row: TaskRow, state: _Belief, config: TaskFusionConfig) -> AttributeEstimate:
    if not state.looks:
        return AttributeEstimate(row.name, row.labels, unit=_unit(row), since=state.since)
    belief = state.belief
    value, stddev = _value(row, state.pool, belief)
    held = (state.stamp - state.since) / _SECOND
    return AttributeEstimate(
        task=row.name,
        labels=row.labels,
        label=UNKNOWN if state.label is None else row.labels[state.label],
        confidence=float(belief.max()),
        probabilities=tuple(belief.tolist()),
        raw_label=row.labels[state.raw_label],
        raw_confidence=state.raw_confidence,
        value=value,
        value_stddev=stddev,
        unit=_unit(row),
        stable=state.label is not None and held >= config.settle_time,
        since=state.since,
        last_look=state.last_look,
        looks=state.looks,
    )


def _edges(row: TaskRow) -> np.ndarray | None:
    known = TASKS.get(row.name)
    if known is None or known.labels != row.labels or not known.edges:
        return None
    return np.asarray(known.edges, np.float64)


def _unit(row: TaskRow) -> str:
    return TASKS[row.name].unit if _edges(row) is not None else ""


def _value(row: TaskRow, pool: np.ndarray, belief: np.ndarray) -> tuple[float, float]:
    """Return the expected value of a task with edges and its standard deviation; else NaN.

    A label stands for values spread evenly between its edges. The value is that of the pool, so
    that it does not drift to the middle of the scale as trust fades. The deviation is that of the
    belief around the value, so that it grows then.
    """
    edges = _edges(row)
    if edges is None:
        return math.nan, math.nan
    middles, widths = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
    value = float(pool @ middles)
    return value, math.sqrt(float(belief @ ((middles - value) ** 2 + widths**2 / 12)))
