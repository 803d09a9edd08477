"""The summary of a replayed recording, typed: the content of summary.json.

    Identity        everything that the answers depend on
      Answers       + counts, problems, times and load
        Summary     + metrics and people, given the truth; criteria, given some

A number that could not be measured is absent from the file, so fields that were never set are not
written. `fsb_perception.metric_words` says what each number means.
"""

from __future__ import annotations

from pydantic import JsonValue

from fsb_perception.options import flatten
from fsb_perception.problems import lines
from fsb_perception.replay.metrics import CriterionResult, Metrics, Part, Person

FORMAT = 2
"""Version of the file; it changes when a key changes its meaning."""


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
    """The count of one kind of problem, and its first case."""

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

    @property
    def fault(self) -> str:
        """Why the replay says nothing about the node; empty if an image was answered."""
        if self.frames > self.failed + self.dropped:
            return ""
        begun = f"none of {self.frames:,} images was answered" if self.frames else "no image"
        return "; ".join((begun, *self.problem_lines()))

    def problem_lines(self) -> list[str]:
        """Return one line for each kind of problem."""
        return lines({k: {"count": p.count, "first": p.first} for k, p in self.problems.items()})


class Summary(Answers):
    """A replay, judged as far as the truth and the criteria allow.

    Attributes:
        truth_images: answered images that the truth says something about; set if it was given.
        metrics: set if the truth was given; empty if it has nothing on these images.
        people: looks at each person; set if the truth was given.
        criteria: set if there are criteria.
    """

    truth_images: int | None = None
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
