"""Answers beside the truth: who is who, and every number by a case that a pencil can check."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_perception.replay.scoring.criteria import load_criteria
from fsb_perception.replay.scoring.matching import Truth, match
from fsb_perception.replay.scoring.scores import scores
from fsb_perception.replay.truth.statements import Statement
from tests.perception.replay.made_answers import BOX, SECOND, face, row, shifted, true_face

TIMES = [SECOND * n for n in range(1, 11)]
ASIDE = shifted(BOX, 300)


def judged(rows: list, truth: list[Statement], task: str = "gender") -> dict:
    return scores(match(rows, Truth(truth)), [task]).as_json()


def test_all_right_is_one_everywhere() -> None:
    rows = [row(t, face("a", t, "female"), face("b", t, "male", box=ASIDE)) for t in TIMES]
    truth = [true_face(t, "ada") for t in TIMES]
    truth += [true_face(t, "bob", ASIDE, attributes={"gender": "male"}) for t in TIMES]
    metrics = judged(rows, truth)
    assert metrics["detection"] == {"precision": 1, "recall": 1, "people": 20, "false": 0}
    assert metrics["tracking"] == {"idf1": 1, "id_switches": 0}
    gender = metrics["gender"]
    assert (gender["looks"], gender["tracks"]) == (20, 2)
    for name in ("look_accuracy", "balanced_accuracy", "macro_f1", "track_accuracy"):
        assert gender[name] == 1
    assert gender["ece"] == pytest.approx(0.1, abs=1e-6)  # confidence .9, always right
    assert (gender["look_accuracy_low"], gender["look_accuracy_high"]) == (1, 1)


@pytest.mark.parametrize(
    ("box", "recall", "precision"),
    [(shifted(BOX, 10), 1.0, 1.0), (shifted(BOX, 60), 0.0, 0.0)],  # IoU .78 and .14
)
def test_a_face_is_a_persons_if_it_overlaps_enough(box, recall, precision) -> None:
    metrics = judged(
        [row(t, face("a", t, "female", box=box)) for t in TIMES],
        [true_face(t, "ada") for t in TIMES],
    )
    assert metrics["detection"]["recall"] == recall
    assert metrics["detection"]["precision"] == precision
    assert ("gender" in metrics) == (recall == 1)


def test_predicted_and_ended_faces_claim_nothing() -> None:
    states = ["CONFIRMED", "COASTED", "ENDED"]
    rows = [row(t, face("a", t, "female", state=s)) for t, s in zip(TIMES, states, strict=False)]
    metrics = judged(rows, [true_face(t, "ada") for t in TIMES[:3]])
    assert metrics["detection"]["recall"] == pytest.approx(1 / 3)
    assert metrics["detection"]["precision"] == 1
    assert metrics["gender"]["looks"] == 1


def test_who_is_hidden_counts_neither_for_nor_against() -> None:
    truth = [true_face(t, "ada", hidden=0.8) for t in TIMES[:5]] + [
        true_face(t, "ada") for t in TIMES[5:]
    ]
    for rows in (
        [row(t, face("a", t, "female")) for t in TIMES],
        [row(t) for t in TIMES[:5]] + [row(t, face("a", t, "female")) for t in TIMES[5:]],
    ):
        metrics = judged(rows, truth)
        assert metrics["detection"] == {"precision": 1, "recall": 1, "people": 5, "false": 0}


def test_a_new_id_for_the_same_person_is_a_switch() -> None:
    rows = [row(t, face("a" if i < 5 else "b", t, "female")) for i, t in enumerate(TIMES)]
    metrics = judged(rows, [true_face(t, "ada") for t in TIMES])
    assert metrics["tracking"] == {"idf1": 0.5, "id_switches": 1}
    assert metrics["gender"]["tracks"] == 2


def test_fused_and_raw_answers_are_judged_apart() -> None:
    raws = ["male", "female", "female", "female"]
    rows = [row(t, face("a", t, "female", raw=r)) for t, r in zip(TIMES, raws, strict=False)]
    gender = judged(rows, [true_face(t, "ada") for t in TIMES[:4]])["gender"]
    assert gender["look_accuracy"] == 0.75
    assert gender["track_accuracy"] == 1
    assert gender["look_accuracy_low"] is None  # of one track


def test_flips_are_changes_between_labels_a_minute() -> None:
    labels = ["female", "male", "unknown", "male", "female", *["female"] * 5]
    rows = [row(t, face("a", t, label)) for t, label in zip(TIMES, labels, strict=True)]
    gender = judged(rows, [true_face(t, "ada") for t in TIMES])["gender"]
    assert gender["flips_a_minute"] == pytest.approx(2 / (9 / 60))


def test_time_to_a_stable_answer_runs_from_the_first_sight() -> None:
    rows = [row(t, face("a", t, "female", stable=i >= 3)) for i, t in enumerate(TIMES)]
    gender = judged(rows, [true_face(t, "ada") for t in TIMES])["gender"]
    assert gender["seconds_to_stable"] == 3
    assert gender["settled"] == 1


def test_a_track_without_an_answer_is_not_covered_and_not_wrong() -> None:
    rows = [row(t, face("a", t, "female"), face("b", t, "unknown", box=ASIDE)) for t in TIMES]
    truth = [true_face(t, name, box) for t in TIMES for name, box in (("ada", BOX), ("eve", ASIDE))]
    gender = judged(rows, truth)["gender"]
    assert (gender["track_coverage"], gender["track_accuracy"]) == (0.5, 1)


def test_withholding_unsure_answers_costs_number_and_gains_truth() -> None:
    rows = [
        row(t, face("a", t, "female" if i < 6 else "male", confidence=0.92 if i < 5 else 0.55))
        for i, t in enumerate(TIMES)
    ]
    table = judged(rows, [true_face(t, "ada") for t in TIMES])["gender"]["risk_coverage"]
    by_threshold = {row["confidence"]: row for row in table}
    assert by_threshold[0.5] == {"confidence": 0.5, "coverage": 1, "accuracy": 0.6}
    assert by_threshold[0.9] == {"confidence": 0.9, "coverage": 0.5, "accuracy": 1}
    assert by_threshold[0.95] == {"confidence": 0.95, "coverage": 0}


def test_slices_say_where_the_answers_are_good() -> None:
    rows = [
        row(TIMES[0], face("a", TIMES[0], "female")),
        row(TIMES[1], face("a", TIMES[1], "male") | {"brightness": 0.1}),
        row(TIMES[2], face("a", TIMES[2], "female") | {"head_rpy": [0, 0, None]}),
    ]
    metrics = judged(rows, [true_face(t, "ada") for t in TIMES[:3]])["gender"]["slices"]
    assert metrics["light"]["dark"] == {"look_accuracy": 0, "looks": 1}
    assert metrics["light"]["medium"] == {"look_accuracy": 1, "looks": 2}
    assert metrics["pose"]["unknown"]["looks"] == 1
    assert metrics["face height"] == {"above 96 px": {"look_accuracy": 2 / 3, "looks": 3}}
    assert set(metrics["group"]) == {"female, unknown"}


def test_ranges_tell_of_an_identity_or_of_all_in_view() -> None:
    rows = [row(t, face("a", t, "happiness", task="emotion")) for t in TIMES]
    where = [true_face(t, "ada", attributes={}) for t in TIMES]
    happy = {"attributes": {"emotion": "happiness"}, "start": TIMES[0], "end": TIMES[4]}
    for more in ({"identity": "ada"}, {}):
        truth = [*where, Statement(camera="front", **happy, **more)]
        assert judged(rows, truth, "emotion")["emotion"]["looks"] == 5
    other = [*where, Statement(camera="front", identity="bob", **happy)]
    assert "emotion" not in judged(rows, other, "emotion")
    alone = [Statement(camera="front", **happy)]
    metrics = judged(rows, alone, "emotion")
    assert metrics["emotion"]["looks"] == 5
    assert "detection" not in metrics


def test_a_region_tells_of_whoever_is_in_it() -> None:
    """Without any box of a single image: where somebody sat all the time is known."""
    rows = [row(t, face("a", t, "female"), face("b", t, "male", box=ASIDE)) for t in TIMES]
    seat = (BOX[0] - 50, BOX[1] - 50, BOX[2] + 50, BOX[3] + 50)
    truth = [
        Statement(
            camera="front", start=TIMES[0], end=TIMES[-1], identity="ada", box_xyxy=seat,
            attributes={"gender": "female"},
        )
    ]  # fmt: skip
    matches = match(rows, Truth(truth))
    assert {(m.identity, m.face["face_id"]) for m in matches.faces} == {("ada", "a")}
    metrics = judged(rows, truth)
    assert (metrics["gender"]["looks"], metrics["gender"]["look_accuracy"]) == (10, 1)
    assert "detection" not in metrics


def test_without_a_stamp_nothing_is_a_look() -> None:
    """Zero is also what a face says that was never looked at."""
    truth = [Statement(camera="front", start=0, end=1, attributes={"gender": "female"})]
    metrics = judged([row(0, face("a", 0, "unknown"))], truth)
    assert metrics["gender"]["looks"] == 0


def test_cameras_and_images_without_truth_are_left_out() -> None:
    rows = [row(TIMES[0], face("a", TIMES[0], "female"), camera="side"), row(TIMES[1])]
    assert judged(rows, [true_face(TIMES[0], "ada")]) == {}
    failed = {"camera": "front", "stamp": TIMES[0], "error": "damaged"}
    assert judged([failed], [true_face(TIMES[0], "ada")]) == {}


NUMBERS = {"gender.look_accuracy": 0.9, "gender.slices.light.dark.looks": 3}


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        ("gender.look_accuracy >= 0.9", True),
        ("gender.look_accuracy > 0.9", False),
        ("gender.look_accuracy<=1", True),
        ("gender.slices.light.dark.looks < 3", False),
    ],
)
def test_a_criterion_holds_or_not(line: str, holds: bool, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"- {line}\n")
    (criterion,) = load_criteria(tmp_path / "c.yaml")
    assert criterion.judge(NUMBERS).met is holds


@pytest.mark.parametrize(
    "text", ["", "gender: 1", "- gender.accuracy", "- gender >= high", "- 3", "- a >= 1-2", "- ["]
)
def test_what_is_no_criterion_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(OptionError, match=r"c\.yaml"):
        load_criteria(tmp_path / "c.yaml")


def test_a_criterion_on_what_was_not_measured_says_what_was(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("- gender.look_acuracy >= 0.9\n")
    (criterion,) = load_criteria(tmp_path / "c.yaml")
    with pytest.raises(UnknownNameError, match=r"gender\.look_accuracy"):
        criterion.judge(NUMBERS)
