"""The table of metrics: what each number means, its unit, and whether high or low is good.

Terminal tables, the pages of replays, the reports of training and criteria all read it. A new
metric is one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fsb_perception.registry import Registry

_DIGITS = {"%": 1, "n": 0, "": 2}  # after the point; one for every other unit


@dataclass(frozen=True)
class Metric:
    r"""One number of a result.

    >>> ece = METRICS["ece"]
    >>> ece.heading, ece.better, ece.text(0.0321)
    ('ECE', 'lower', '3.2\xa0%')

    Attributes:
        name: key in summary.json and in the results of training.
        heading: a few words for a row or a column.
        unit: "%" for a share from 0 to 1, "n" for a count, "" for a plain number, or "s", "ms",
            "years", "MiB".
        better: the direction that is good; empty where the number is neither good nor bad.
        meaning: a sentence without capital and full stop.
        digits: shown after the point; those of the unit if None.
    """

    name: str
    heading: str
    unit: str
    better: Literal["higher", "lower", ""]
    meaning: str
    digits: int | None = None

    def text(self, value: float | None) -> str:
        """Return a value with its unit, as `value_text` does."""
        return value_text(value, self.unit, self.digits)


def value_text(value: float | None, unit: str = "", digits: int | None = None) -> str:
    r"""Return a value as people read it; a dash for None.

    >>> value_text(0.879, "%"), value_text(1200, "n"), value_text(5.56, "years"), value_text(None)
    ('87.9\xa0%', '1,200', '5.6\xa0years', '-')
    """
    if value is None:
        return "-"
    digits = _DIGITS.get(unit, 1) if digits is None else digits
    number = f"{100 * value if unit == '%' else value:,.{digits}f}"
    return number if unit in ("", "n") else f"{number}\u00a0{unit}"


def interval_text(
    low: float | None, high: float | None, unit: str = "%", digits: int | None = None
) -> str:
    r"""Return an interval as people read it; empty if an end is unknown.

    >>> interval_text(0.8659, 0.8917), interval_text(0.3, 0.325, "", 3), interval_text(None, None)
    ('86.6 to 89.2\xa0%', '0.300 to 0.325', '')
    """
    if low is None or high is None:
        return ""
    start = value_text(low, unit, digits).partition("\u00a0")[0]  # the unit stands once
    return f"{start} to {value_text(high, unit, digits)}"


def metric_of(name: str) -> Metric:
    """Return the row of a metric by its dotted name, or of the end of its interval.

    >>> metric_of("gender.track_accuracy_low").heading
    'track accuracy'

    Raises:
        UnknownNameError: the last part is in no row.
    """
    return METRICS[name.rpartition(".")[2].removesuffix("_low").removesuffix("_high")]


_ROWS = (
    # Answers about one attribute: of photographs (training), of looks and of tracks (replay).
    Metric("accuracy", "accuracy", "%", "higher", "answers that are right"),
    Metric(
        "track_accuracy", "track accuracy", "%", "higher",
        "faces with a right last answer, of those that had an answer",
    ),
    Metric(
        "track_coverage", "track coverage", "%", "higher",
        "faces that had an answer in the end; the answers about the others were withheld",
    ),
    Metric(
        "look_accuracy", "look accuracy", "%", "higher",
        "looks that are right by themselves, before any smoothing",
    ),
    Metric(
        "balanced_accuracy", "balanced accuracy", "%", "higher",
        "right answers for each true label by itself, then averaged: rare labels count like "
        "common ones",
    ),
    Metric(
        "macro_f1", "macro F1", "%", "higher",
        "as balanced accuracy, but wrong answers also count against the label that was given",
    ),
    Metric(
        "within_one_accuracy", "within one group", "%", "higher",
        "answers that are right or name a neighbouring age group",
    ),
    Metric(
        "mae_years", "error in years", "years", "lower",
        "mean distance of the expected age from the true one. The expected age takes each age "
        "group for its middle (1.5, 6.5, 15, 25, ... 65, and 77.5 for 70+), weighted by its "
        "probability",
    ),
    Metric(
        "ece", "ECE", "%", "lower",
        "expected calibration error: how far confidence and accuracy are apart on average, over "
        "15 bins of confidence; 0 is perfect",
    ),
    Metric(
        "ece_before", "ECE before", "%", "lower",
        "the ECE before calibration, at temperature 1",
    ),
    Metric(
        "nll", "log loss", "", "lower",
        "mean of -ln of the true label's probability; 0 is perfect",
        digits=3,
    ),
    Metric(
        "brier", "Brier score", "", "lower",
        "squared distance of the probabilities from the truth, 0 to 2; 0 is perfect",
        digits=3,
    ),
    Metric(
        "flips_a_minute", "flips a minute", "", "lower",
        "how often the answer about a face jumped from one label to another; 0 is calm",
    ),
    Metric(
        "seconds_to_stable", "seconds to stable", "s", "lower",
        "time from the first sight of a face to its first stable answer; median of the faces "
        "that got one",
    ),
    Metric("settled", "settled", "%", "higher", "faces that got a stable answer, of all"),
    Metric("count", "faces", "n", "", "faces that were judged"),
    Metric("looks", "looks", "n", "", "looks at faces with a known label"),
    Metric("tracks", "tracks", "n", "", "faces followed with a known label"),
    # Faces found and kept apart.
    Metric("recall", "recall", "%", "higher", "faces of the truth that were found"),
    Metric("precision", "precision", "%", "higher", "finds that are faces of the truth"),
    Metric("people", "people", "n", "", "faces of the truth, over all images"),
    Metric("false", "false", "n", "lower", "finds where the truth has no face, over all images"),
    Metric("idf1", "IDF1", "%", "higher", "how well one face_id stays with one person"),
    Metric(
        "id_switches", "id switches", "n", "lower", "times that a person got a new face_id"
    ),
    # Speed and load.
    Metric("p50_ms", "half within", "ms", "lower", "half of the images took at most this long"),
    Metric("p95_ms", "95 % within", "ms", "lower", "95 % of the images took at most this long"),
    Metric("p99_ms", "99 % within", "ms", "lower", "99 % of the images took at most this long"),
    Metric("rate", "pace, of the recorded one", "", "", "the pace that was asked for"),
    Metric("achieved", "pace of the player", "", "", "the pace that the player came to"),
    Metric("kept_pace", "player kept pace", "n", "", "1 if the player was fast enough, else 0"),
    Metric(
        "highest_rate", "highest pace", "", "higher",
        "the highest pace at which less than 1 % of the images is dropped",
    ),
    Metric("published", "images played", "n", "", "images that were published"),
    Metric("answered", "images answered", "n", "", "images that got an answer"),
    Metric("dropped", "images without an answer", "n", "lower", "images that got no answer"),
    Metric(
        "drop_rate", "share without an answer", "%", "lower",
        "images that got no answer, of those that were played",
    ),
    Metric(
        "cpu_mean", "processor cores in use, on average", "", "lower",
        "processor cores that the answering process used, on average",
    ),
    Metric("memory_mib_last", "memory at the end", "MiB", "lower", "memory at the end"),
    Metric(
        "memory_mib_a_minute", "memory gained a minute", "MiB", "lower",
        "slope of a line through the samples of each second, the first fifth left out",
    ),
    Metric("gpu_memory_mib_last", "GPU memory at the end", "MiB", "lower", "GPU memory at the end"),
    Metric(
        "gpu_memory_mib_a_minute", "GPU memory gained a minute", "MiB", "lower",
        "slope of a line through the samples of each second, the first fifth left out",
    ),
)  # fmt: skip

METRICS = Registry("metric", {row.name: row for row in _ROWS})
