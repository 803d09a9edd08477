from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fsb_perception.cli import app
from fsb_perception.options import OptionError
from fsb_perception.replay.outputs import write_summary
from fsb_perception.replay.running.pace import Trial, play_summary
from fsb_perception.replay.scoring.compare import Change, compare, load_runs
from fsb_perception.replay.scoring.matching import Truth, match
from fsb_perception.replay.scoring.persons import persons
from fsb_perception.replay.summary import Summary
from tests.perception.replay import made_replays
from tests.perception.replay.made_answers import BOX, SECOND, face, row, shifted, true_face

LOOKS = 10
NO_TIMES: dict[str, dict] = {"decode": {}, "process": {}, "wait": {}}


def summary(**more: Any) -> Summary:
    """Make a run without a number to compare."""
    return Summary.model_validate(made_replays.summary([], timing=NO_TIMES, **more))


def judged(rights: list[int], **metrics: float) -> Summary:
    """Make a run in which ``rights[n]`` of `LOOKS` looks at person n are right."""
    people = [
        {"camera": "front", "identity": f"p{n}", "task": "gender", "looks": LOOKS, "right": right}
        for n, right in enumerate(rights)
    ]
    counts = {"looks": LOOKS * len(rights), "tracks": len(rights), "risk_coverage": []}
    gender = {"track_coverage": 1.0, "settled": 1.0, "slices": {}, **counts, **metrics}
    return summary(people=people, metrics={"gender": gender})


def accuracy_change(first: list[int], second: list[int]) -> Change:
    changes = compare({"abc": judged(first)}, {"abc": judged(second)})
    return next(change for change in changes if change.name == "gender.look_accuracy")


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ([5] * 8, [9] * 8, "better"),
        ([9] * 8, [5] * 8, "worse"),
        ([5] * 8, [5] * 8, "same"),
        ([5, 5, 5, 5], [10, 1, 9, 2], "not sure"),  # half gained, half lost
        ([5], [9], "not sure"),  # one person
    ],
)
def test_a_change_counts_where_it_is_not_chance(first, second, verdict) -> None:
    change = accuracy_change(first, second)
    assert change.verdict == verdict
    assert change.second - change.first == pytest.approx(
        (sum(second) - sum(first)) / LOOKS / len(first)
    )


def test_the_interval_is_paired_by_person() -> None:
    """Everybody gains the same: the difference is sure, however different people are."""
    first = [0, 2, 4, 6, 8] * 2
    change = accuracy_change(first, [right + 1 for right in first])
    assert change.low == pytest.approx(0.1)
    assert change.high == pytest.approx(0.1)


def test_lower_is_better_for_some_metrics_and_no_interval_means_not_sure() -> None:
    ours, theirs = judged([5], ece=0.2, macro_f1=0.5), judged([5], ece=0.1, macro_f1=0.5)
    changes = {c.name: c for c in compare({"abc": ours}, {"abc": theirs})}
    assert changes["gender.ece"].verdict == "not sure"
    assert changes["gender.macro_f1"].verdict == "same"
    assert Change("gender.ece", 0.2, 0.1, -0.15, -0.05).verdict == "better"
    assert Change("gender.macro_f1", 0.2, 0.1, -0.15, -0.05).verdict == "worse"


def test_speed_is_compared_too_without_any_truth() -> None:
    def played(dropped: int, memory: float) -> Summary:
        play = Trial(rate=1.0, achieved=1.0, published=100, dropped=dropped)
        return summary(play=play_summary(play, None).as_json(), load={"memory_mib_last": memory})

    changes = compare({"abc": played(10, 500)}, {"abc": played(2, 500)})
    assert [(c.name, c.verdict) for c in changes] == [
        ("play.drop_rate", "not sure"),  # one run of each shows no spread
        ("load.memory_mib_last", "same"),
    ]
    assert Change("play.drop_rate", 0.1, 0.02, -0.1, -0.05).verdict == "better"


def test_runs_on_other_bags_or_without_truth_are_not_compared() -> None:
    with pytest.raises(OptionError, match="no bag in common"):
        compare({"abc": judged([5])}, {"def": judged([5])})
    with pytest.raises(OptionError, match="--truth"):
        compare({"abc": summary()}, {"abc": summary()})


def test_people_are_counted_over_all_their_tracks() -> None:
    times = [SECOND * n for n in range(1, 5)]
    aside = shifted(BOX, 300)
    rows = [
        row(t, face(f"a{n // 2}", t, "female"), face("b", t, "male", box=aside))
        for n, t in enumerate(times)
    ]
    truth = [true_face(t, name, box) for t in times for name, box in (("ada", BOX), ("eve", aside))]
    ada, eve = persons(match(rows, Truth(truth)).faces, ["gender"])
    assert (ada.identity, ada.looks, ada.right) == ("ada", 4, 4)
    assert (eve.identity, eve.looks, eve.right) == ("eve", 4, 0)


def test_from_the_command_line_what_became_worse_is_the_status(tmp_path: Path) -> None:
    for name, rights in (("a", [9] * 8), ("b", [5] * 8)):
        (tmp_path / name / "bag").mkdir(parents=True)
        write_summary(tmp_path / name / "bag", judged(rights))
    a, b = str(tmp_path / "a"), str(tmp_path / "b" / "bag")
    assert load_runs(tmp_path / "b").keys() == load_runs(Path(b)).keys()
    worse = CliRunner().invoke(app, ["replay", "compare", a, b])
    assert (worse.exit_code, "worse" in worse.output) == (1, True)
    better = CliRunner().invoke(app, ["replay", "compare", b, a])
    assert (better.exit_code, "better" in better.output) == (0, True)
    with pytest.raises(OptionError, match="is it what fsb replay run wrote"):
        load_runs(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"bag": {"sha256": "a"}, "people": [{"x": 1}]}']
)
def test_a_damaged_summary_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(OptionError, match=r"summary\.json is no summary"):
        load_runs(tmp_path)
