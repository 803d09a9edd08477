"""Metrics of a replay, typed: the answers compared with the truth.

They are parts of `fsb_perception.replay.summary.Summary`. A metric that could not be measured is
absent from summary.json, so fields that were never set are not written.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class Part(BaseModel):
    """A part of the summary, immutable; unknown keys of a file are ignored.

    >>> Tracking.model_validate({"idf1": 0.9, "id_switches": 2, "newer": 1}).as_json()
    {'idf1': 0.9, 'id_switches': 2}
    """

    model_config = ConfigDict(frozen=True)

    def as_json(self) -> dict[str, JsonValue]:
        """Return the part as plain values, without the fields that were never set."""
        return self.model_dump(mode="json", exclude_unset=True)


class Detection(Part):
    """Faces of the frames beside the boxes of the truth.

    Attributes:
        precision: share of the answered faces that are faces of the truth.
        recall: share of the faces of the truth that were found.
        people: number of faces of the truth, over all images.
        false: number of answered faces that are not in the truth, over all images.
    """

    precision: float
    recall: float
    people: int
    false: int


class Tracking(Part):
    """Metrics of tracking: whether one face_id stays with one person.

    Attributes:
        idf1: share of the faces with the right identity (Ristani et al., 2016).
        id_switches: times that a person got a new face_id (Bernardin and Stiefelhagen, 2008).
    """

    idf1: float
    id_switches: int


class RiskCoverage(Part):
    """Answers that remain when those below a confidence are withheld.

    Attributes:
        confidence: the threshold.
        coverage: share of the answers that remain.
        accuracy: share of those that are right; unset without any.
    """

    confidence: float
    coverage: float
    accuracy: float | None = None


class SliceScore(Part):
    """Accuracy of the looks in one slice, and their number."""

    look_accuracy: float
    looks: int


class TaskScores(Part):
    """Metrics of one task; `METRICS` of `fsb_perception.metric_words` explains each.

    ``_low`` and ``_high`` are the ends of 95 % intervals, null for too few tracks. Metrics of looks
    are unset without looks, those of tracks without answers.
    """

    looks: int
    tracks: int
    look_accuracy: float | None = None
    look_accuracy_low: float | None = None
    look_accuracy_high: float | None = None
    balanced_accuracy: float | None = None
    macro_f1: float | None = None
    ece: float | None = None
    track_coverage: float
    track_accuracy: float | None = None
    track_accuracy_low: float | None = None
    track_accuracy_high: float | None = None
    flips_a_minute: float | None = None
    seconds_to_stable: float | None = None
    settled: float
    risk_coverage: list[RiskCoverage]
    slices: dict[str, dict[str, SliceScore]]


class Metrics(Part):
    """Metrics of detection, of tracking, and of each task under the task's name.

    >>> Metrics(tracking=Tracking(idf1=1.0, id_switches=0)).as_json()
    {'tracking': {'idf1': 1.0, 'id_switches': 0}}
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, TaskScores] = Field(init=False)

    detection: Detection | None = None
    tracking: Tracking | None = None

    @property
    def tasks(self) -> dict[str, TaskScores]:
        """Metrics by task."""
        return self.__pydantic_extra__ or {}


class Person(Part):
    """The looks at one person of the truth in one task.

    Attributes:
        camera: name of the camera.
        identity: name of the person; the face_id where the truth names none.
        task: name of the task.
        looks: number of looks.
        right: number of looks with the true label.
    """

    camera: str
    identity: str
    task: str
    looks: int
    right: int

    @property
    def key(self) -> tuple[str, str, str]:
        """Camera, identity and task, which pair the persons of two runs."""
        return self.camera, self.identity, self.task


class CriterionResult(Part):
    """A criterion, the value found, and whether the value meets it.

    >>> str(CriterionResult(name="gender.ece", sign="<=", value=0.05, found=0.12345, met=False))
    'gender.ece <= 0.05, found 0.1235'
    """

    name: str
    sign: str
    value: float
    found: bool | int | float
    met: bool

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self.value:g}, found {self.found:.4g}"
