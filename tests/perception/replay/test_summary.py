from __future__ import annotations

import json
from pathlib import Path

from fsb_perception.metric_words import METRICS, metric_of
from fsb_perception.replay.outputs import write_summary
from fsb_perception.replay.running.load import Sample, load_summary
from fsb_perception.replay.running.pace import Trial, play_summary
from fsb_perception.replay.scoring.matching import Truth, match
from fsb_perception.replay.scoring.persons import persons
from fsb_perception.replay.scoring.scores import scores
from fsb_perception.replay.summary import Summary
from tests.perception.replay import made_replays
from tests.perception.replay.made_answers import SECOND, face, row, true_face

TIMES = [SECOND * n for n in range(1, 11)]


def summary() -> Summary:
    """Make a replay in real time with every part: truth, criteria, load and a search."""
    rows = [row(t, face("a", t, "female", stable=True)) for t in TIMES]
    matches = match(rows, Truth([true_face(t, "ada") for t in TIMES]))
    trial = Trial(rate=1.0, achieved=1.0, published=10, dropped=1)
    samples = [Sample(float(s), 0.5, 400.0 + s, 100.0) for s in range(1, 21)]
    times = {"p50_ms": 20.0, "p95_ms": 30.0, "p99_ms": 40.0}
    criterion = {"name": "tracking.id_switches", "sign": "<=", "value": 1, "found": 0, "met": True}
    return Summary.model_validate(
        made_replays.summary(
            rows,
            timing=dict.fromkeys(("decode", "process", "wait"), times),
            play=play_summary(trial, (1.0, [trial])),
            load=load_summary(samples),
            metrics=scores(matches, ["gender"]),
            people=persons(matches.faces, ["gender"]),
            criteria=[criterion],
        )
    )


def test_a_summary_survives_its_file(tmp_path: Path) -> None:
    first = summary()
    write_summary(tmp_path, first)
    text = (tmp_path / "summary.json").read_text(encoding="utf-8")
    again = Summary.model_validate(json.loads(text))
    assert again == first
    write_summary(tmp_path, again)
    assert (tmp_path / "summary.json").read_text(encoding="utf-8") == text


def test_an_interval_that_cannot_be_computed_is_null_and_a_metric_absent() -> None:
    gender = summary().as_json()["metrics"]["gender"]
    assert gender["look_accuracy_low"] is None  # of one track
    rows = [row(TIMES[0], face("a", TIMES[0], "unknown", last_look=0))]
    matches = match(rows, Truth([true_face(TIMES[0], "ada")]))
    assert "track_accuracy" not in scores(matches, ["gender"]).as_json()["gender"]


def test_every_number_has_a_meaning() -> None:
    numbers = summary().numbers()
    assert {metric_of(name).name for name in numbers} <= METRICS.keys()
    for name in ("play.highest_rate", "timing.wait.p95_ms", "load.gpu_memory_mib_a_minute_high"):
        assert name in numbers
