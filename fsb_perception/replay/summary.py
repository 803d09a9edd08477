"""The summary of a replayed recording, typed: what summary.json holds, and nothing else.

    Identity            what the answers depend on
      Answers           + what the replay measured without the truth
        Summary         + metrics, people and criteria, given the truth and the demands

A number that could not be measured is absent from the file, so fields that were never set are not
written. `fsb_perception.metric_words` says what each number means.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from fsb_perception.options import flatten
from fsb_perception.problems import lines

FORMAT = 2
"""Version of the file; it changes when a key changes its meaning."""


class Part(BaseModel):
    """A part of the summary: immutable; unknown keys of a file are ignored."""

    model_config = ConfigDict(frozen=True)

    def as_json(self) -> dict[str, JsonValue]:
        """Return the part as plain values, without the fields that were never set."""
        return self.model_dump(mode="json", exclude_unset=True)


class BagFile(Part):
    """Name and sha256 of a recording."""

    name: str
    sha256: str


class Code(Part):
    """Version and sha256 of the code that answered."""

    version: str
    sha256: str


class Identity(Part):
    """Everything that the answers depend on; hashes are sha256 in hexadecimal digits.

    Attributes:
        format: `FORMAT`.
        bag: the recording.
        topics: topics of images, one for each camera.
        mode: name of the mode; in realtime, followed by the rate.
        bundle: id of the weight bundle.
        config: options of the pipeline.
        config_sha256: hash of the options.
        code: the installed FSB.
    """

    format: int
    bag: BagFile
    topics: list[str]
    mode: str
    bundle: str
    config: dict[str, JsonValue]
    config_sha256: str
    code: Code


class Percentiles(Part):
    """Milliseconds within which a share of the images was done; unset without images."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class Timings(Part):
    """Time for one image; see `fsb_perception.replay.answering.Timing`."""

    decode: Percentiles
    process: Percentiles
    wait: Percentiles


class Load(Part):
    """CPU cores and memory of the answering process.

    Growth is the slope of a line through the samples, in MiB a minute, with its 95 % interval.
    Fields are unset without samples, with too few of them for a line, or without a GPU.
    """

    cpu_mean: float | None = None
    memory_mib_last: float | None = None
    memory_mib_a_minute: float | None = None
    memory_mib_a_minute_low: float | None = None
    memory_mib_a_minute_high: float | None = None
    gpu_memory_mib_last: float | None = None
    gpu_memory_mib_a_minute: float | None = None
    gpu_memory_mib_a_minute_low: float | None = None
    gpu_memory_mib_a_minute_high: float | None = None


class PlayTrial(Part):
    """Playing a recording to the node at one rate.

    Attributes:
        rate: speed that was asked for, as a multiple of the recorded speed.
        achieved: speed that the player reached.
        published, dropped, answered: numbers of images.
        drop_rate: share of the published images without an answer, 0 to 1.
        kept_pace: the player was fast enough for the trial to say something about the node.
    """

    rate: float
    achieved: float
    published: int
    dropped: int
    answered: int
    drop_rate: float
    kept_pace: bool


class Play(PlayTrial):
    """A recording that was played in real time.

    Attributes:
        highest_rate: the highest rate at which the node keeps up; set by a search alone.
        trials: trials of the search.
    """

    highest_rate: float | None = None
    trials: list[PlayTrial] | None = None


class Problem(Part):
    """How often one kind of problem was seen, and its first case."""

    count: int
    first: str


class Answers(Identity):
    """A replay before it is judged.

    Attributes:
        results_sha256: hash of results.jsonl.
        frames: number of images.
        failed: images that could not be decoded or got an error.
        dropped: images that the node did not answer.
        cameras: number of images by camera.
        tracks: number of faces followed.
        problems: faults of the recording, by kind.
        timing: time for one image.
        play: set in realtime alone.
        load: load of the answering process.
    """

    results_sha256: str
    frames: int
    failed: int
    dropped: int
    cameras: dict[str, int]
    tracks: int
    problems: dict[str, Problem]
    timing: Timings
    play: Play | None = None
    load: Load

    def problem_lines(self) -> list[str]:
        """Return one line for each kind of problem."""
        return lines({k: {"count": p.count, "first": p.first} for k, p in self.problems.items()})


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
    """How well one face_id stays with one person.

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


class Summary(Answers):
    """A replay, judged as far as the truth and the criteria allow.

    Attributes:
        metrics: set if the truth was given; empty if it has nothing on these images.
        people: looks at each person; set if the truth was given.
        criteria: set if there are criteria.
    """

    metrics: Metrics | None = None
    people: list[Person] | None = None
    criteria: list[CriterionResult] | None = None

    def numbers(self) -> dict[str, float]:
        """Return every number that a criterion can name, by its dotted name."""
        tree = self.metrics.as_json() if self.metrics else {}
        for name, part in (("timing", self.timing), ("load", self.load), ("play", self.play)):
            tree[name] = part.as_json() if part else {}
        return {n: value for n, value in flatten(tree).items() if isinstance(value, int | float)}


MEASURED = ("timing", "load", "play")
"""Parts of the summary whose numbers need no truth."""
