from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from fsb_perception.config import PerceptionConfig
from fsb_perception.inference.engine import Engine
from fsb_perception.options import build
from fsb_perception.pipeline import FacePipeline
from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS
from fsb_perception.types import UNKNOWN, Face, FaceAttributes, Image, QualityFlag, TrackState
from tests.builders import SECOND, START, FakeDetector, FakeEngine, face, frame, look, stamps
from tests.bundles import random_bundle

FRAME = frame()


def pipeline(
    *script: list[Face], engine: FakeEngine | None = None, **options: object
) -> FacePipeline:
    config = build(PerceptionConfig, options)
    return FacePipeline(config, engine or FakeEngine(), FakeDetector(list(script)), "face")  # type: ignore[arg-type]


def by_id(reports: list[FaceAttributes]) -> dict[str, FaceAttributes]:
    assert len({report.face_id for report in reports}) == len(reports)
    return {report.face_id: report for report in reports}


def test_one_look_is_enough_for_a_label() -> None:
    (report,) = pipeline([face()]).process(FRAME, START)
    assert (report.face_id, report.state) == ("face_1", TrackState.TENTATIVE)
    assert (report.first_seen, report.last_seen) == (START, START)
    assert {e.task: e.label for e in report.estimates} == {
        name: task.labels[0] for name, task in TASKS.items()
    }
    assert report.quality.score == 1.0
    np.testing.assert_array_equal(report.face.box_xyxy, face().box_xyxy)


def test_all_faces_of_a_frame_are_encoded_in_one_call() -> None:
    engine = FakeEngine()
    line = pipeline([face(100), face(300), face(500)], engine=engine)
    for stamp in stamps(30, 0.5):
        line.process(FRAME, stamp)
    assert [len(batch) for batch in engine.batches] == [3] * 15
    assert {shape for batch in engine.batches for shape in batch} == {(64, 64, 3)}


def test_a_face_that_is_hidden_and_gone_keeps_its_last_estimates() -> None:
    engine = FakeEngine()
    line = pipeline(*[[face()]] * 10, [], engine=engine)
    reports = [by_id(line.process(FRAME, stamp)) for stamp in stamps(10, 3.0)]
    states = [report["face_1"].state.name for report in reports if report]
    assert [(state, len(list(run))) for state, run in itertools.groupby(states)] == [
        ("TENTATIVE", 2), ("CONFIRMED", 8), ("COASTED", 10), ("ENDED", 1)
    ]  # fmt: skip
    assert len(engine.batches) == 10, "a predicted box is not encoded"
    last = next(r["face_1"] for r in reports if r and r["face_1"].state is TrackState.ENDED)
    gender, age, emotion = last.estimates
    assert (gender.label, age.label) == ("male", "0-2")
    assert (gender.looks, gender.last_look) == (10, START + 9 * SECOND // 10)
    assert emotion.label == UNKNOWN, "an expression does not last unseen"


def test_a_face_too_bad_to_read_is_reported_with_the_reason() -> None:
    engine = FakeEngine()
    line = pipeline([face(100), face(400, size=3)], engine=engine)
    good, bad = line.process(FRAME, START)
    assert len(engine.batches[0]) == 1
    assert good.estimates[0].looks == 1
    assert bad.quality.flags & QualityFlag.SMALL
    assert all(e.label == UNKNOWN and e.looks == 0 for e in bad.estimates)


def test_looks_go_to_the_faces_they_were_made_of() -> None:
    class Shy(FakeEngine):
        def encode(self, aligned: list[Image]) -> dict[str, np.ndarray]:
            probabilities = super().encode(aligned)
            for row, cut in enumerate(aligned):  # dark faces are female here
                probabilities["gender"][row] = [0.9, 0.1] if cut.mean() > 128 else [0.1, 0.9]
            return probabilities

    image = frame()
    image[:, 320:] //= 2
    faces = [face(480), face(600, size=3), face(160)]
    reports = pipeline(faces, engine=Shy()).process(image, START)
    assert [r.estimates[0].label for r in reports] == ["female", UNKNOWN, "male"]


def test_a_task_that_is_off_is_absent() -> None:
    line = pipeline([face()], tasks=["emotion"])
    (report,) = line.process(FRAME, START)
    assert [estimate.task for estimate in report.estimates] == ["emotion"]


@pytest.mark.parametrize(
    ("task", "hint"),
    [
        ("gendre", r"Did you mean 'gender'\? Known: age_group, gender\."),
        ("emotion", "Known: age_g"),
    ],
)
def test_a_task_that_the_bundle_lacks_is_named_before_anything_runs(
    task: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [
        {"name": name, "labels": TASKS[name].labels, "ordered": TASKS[name].ordered}
        for name in ("gender", "age_group")
    ]
    bundle = random_bundle(tmp_path, tasks=tasks)
    monkeypatch.setattr(Engine, "warm_up", lambda _: pytest.fail("it ran"))
    config = PerceptionConfig(bundle=str(tmp_path), tasks=("gender", task))
    message = f"^unknown task of {bundle.bundle_id} '{task}'\\. {hint}"
    with pytest.raises(UnknownNameError, match=message):
        FacePipeline.from_config(config)


def test_detectors_without_landmarks_do() -> None:
    (report,) = pipeline([face(landmarks=False)]).process(FRAME, START)
    assert report.estimates[0].label == "male"
    assert np.isnan(report.quality.head_rpy).all()


@pytest.mark.parametrize(
    "seen",
    [
        face(x=0),
        face(x=-30),
        face(x=640, y=480),
        face(size=2000),
        face(x=-500),
        face(y=2000, size=1),
    ],
    ids=["left", "beyond", "corner", "larger than the image", "outside", "far and tiny"],
)
def test_boxes_may_pass_the_border(seen: Face) -> None:
    (report,) = pipeline([seen]).process(FRAME, START)
    assert QualityFlag.TRUNCATED in report.quality.flags
    assert 0.0 <= report.quality.score < 1.0


@pytest.mark.parametrize(
    "image",
    [FRAME[:, ::-1], FRAME[::2, ::2], np.asfortranarray(FRAME), frame(16, 16), frame(31, 500)],
    ids=["mirrored view", "strided view", "fortran", "tiny", "narrow"],
)
def test_views_and_odd_sizes_are_images_too(image: Image) -> None:
    (report,) = pipeline([face(8, 8, size=10)], **{"fusion.min_quality": 0.0}).process(image, START)
    assert report.estimates[0].looks == 1


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 0, 3), np.uint8),
        "x",
    ],
)
def test_what_is_no_image_is_refused_and_changes_nothing(image: Image) -> None:
    line = pipeline([face()])
    line.process(FRAME, START)
    with pytest.raises(ValueError, match="an image must"):
        line.process(image, START + SECOND // 30)
    (report,) = line.process(FRAME, START + SECOND // 15)
    assert (report.face_id, report.estimates[0].looks) == ("face_1", 2)


@pytest.mark.parametrize("stamp", [0, START - SECOND, START + 100 * SECOND])
def test_a_clock_that_jumps_starts_new_tracks(stamp: int) -> None:
    line = pipeline([face()])
    line.process(FRAME, START)
    reports = by_id(line.process(FRAME, stamp))
    assert reports["face_1"].state is TrackState.ENDED
    assert reports["face_2"].estimates[0].looks == 1


def test_a_detector_that_fails_raises_and_the_next_frame_goes_on() -> None:
    class Failing(FakeDetector):
        def detect(self, image: Image) -> list[Face]:
            faces = super().detect(image)
            if self.calls == 2:
                raise RuntimeError("the detector has had enough")
            return faces

    line = FacePipeline(PerceptionConfig(), FakeEngine(), Failing([[face()]]), "face")  # type: ignore[arg-type]
    line.process(FRAME, START)
    with pytest.raises(RuntimeError, match="enough"):
        line.process(FRAME, START + SECOND // 30)
    (report,) = line.process(FRAME, START + SECOND // 15)
    assert (report.face_id, report.estimates[0].looks) == ("face_1", 2)


def test_reset_ends_what_is_followed() -> None:
    line = pipeline([face()])
    line.process(FRAME, START)
    line.reset()
    reports = by_id(line.process(FRAME, START + SECOND // 30))
    assert {name: r.state.name for name, r in reports.items()} == {
        "face_1": "ENDED", "face_2": "TENTATIVE"
    }  # fmt: skip


def test_live_options_apply_from_the_next_frame() -> None:
    line = pipeline([face()], engine=FakeEngine(look(confidence=0.65)))
    (before,) = line.process(FRAME, START)
    line.configure(build(PerceptionConfig, {"fusion.gender.enter": 0.6, "fusion.gender.exit": 0.5,
                                            "quality.min_size": 200.0}))  # fmt: skip
    (after,) = line.process(FRAME, START + SECOND // 30)
    assert (before.estimates[0].label, after.estimates[0].label) == (UNKNOWN, "male")
    assert QualityFlag.SMALL not in before.quality.flags
    assert QualityFlag.SMALL in after.quality.flags


def test_memory_is_flat_however_many_faces_pass() -> None:
    # Two faces that never stay: each is seen once, far from where anyone was before.
    places = itertools.cycle([face(60, 80, 40), face(320, 400, 40), face(580, 80, 40)])
    script = [[next(places), next(places)] if i % 2 == 0 else [] for i in range(5000)]
    line = pipeline(*script, **{"tracker.max_tentative_coast": 0.05})
    image = frame(640, 480)
    most, ids, ended = 0, set(), 0
    for stamp in stamps(10, 500.0):
        reports = line.process(image, stamp)
        ids |= {report.face_id for report in reports}
        ended += sum(report.state is TrackState.ENDED for report in reports)
        most = max(most, line.faces_in_memory)
    assert len(ids) == 5000
    assert ended == 5000
    assert most <= 4
