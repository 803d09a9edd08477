"""Counts, report and table of the demo, from real messages."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fsb_perception.msg import AttributeEstimate, FaceAttributes, FaceAttributesArray
from rich.console import Console

from fsb_perception.ros.demo.live_table import closing_table, current_table, status_line
from fsb_perception.ros.demo.tally import Tally
from fsb_perception.ros.pairing import Pairing

LABELS = ["male", "female"]


def face(face_id: str, label: str, state: int = FaceAttributes.CONFIRMED) -> FaceAttributes:
    message = FaceAttributes(face_id=face_id, state=state, score=0.9)
    message.box_xyxy = [10.0, 10.0, 60.0, 70.0]
    estimate = AttributeEstimate(task="gender", label=label, labels=LABELS, confidence=0.75)
    estimate.probabilities = [0.25, 0.75]
    message.estimates = [estimate]
    return message


def answer(index: int, *faces: FaceAttributes, dropped: int = 0) -> FaceAttributesArray:
    message = FaceAttributesArray(sequence=index, dropped=dropped, bundle_id="nano@0123456789ab")
    message.header.stamp.sec = index
    message.faces = list(faces)
    return message


def tally_of(*answers: FaceAttributesArray, latency_ms: float = 20.0) -> Tally:
    tally = Tally()
    for message in answers:
        tally.add(message, message.header.stamp.sec * 10**9 + int(latency_ms * 1e6))
    return tally


def test_the_report_has_these_fields(tmp_path: Path) -> None:
    tally = tally_of(
        answer(1, face("a1", "female")),
        answer(2, face("a1", "unknown"), dropped=3),
        latency_ms=12.5,
    )
    path = tmp_path / "demo.json"
    tally.summary().write(path)
    assert json.loads(path.read_text()) == {
        "frames": {"received": 5, "processed": 2, "dropped": 3},
        "latency_ms": {"p50": 12.5, "p95": 12.5},
        "faces": [
            # The last known label stays after the face has become unknown again.
            {"face_id": "a1", "estimates": {"gender": {"label": "female", "confidence": 0.75}}}
        ],
        "bundle_id": "nano@0123456789ab",
    }


def test_a_run_without_answers_reports_no_latency() -> None:
    report = Tally().summary().to_json()
    assert report["latency_ms"] == {"p50": None, "p95": None}
    assert report["frames"] == {"received": 0, "processed": 0, "dropped": 0}
    assert "nan" not in status_line(Tally().summary())


@pytest.mark.parametrize(
    ("label", "state", "reported"),
    [
        ("female", FaceAttributes.CONFIRMED, {"gender": "female"}),
        ("unknown", FaceAttributes.CONFIRMED, {"gender": "unknown"}),
        ("female", FaceAttributes.COASTED, {"gender": "female"}),
        ("female", FaceAttributes.TENTATIVE, None),
    ],
)
def test_only_confirmed_faces_are_reported(
    label: str, state: int, reported: dict[str, str] | None
) -> None:
    seen = tally_of(answer(1, face("a1", label, state))).summary().seen
    labels = {task: estimate.label for task, estimate in seen["a1"].items()} if seen else None
    assert labels == reported


def test_memory_stays_bounded() -> None:
    tally = tally_of(*(answer(index, face(f"a{index}", "male")) for index in range(1, 400)))
    seen = tally.summary().seen
    assert len(seen) == 256
    assert "a399" in seen
    assert "a1" not in seen


def text_of(renderable: Any) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_the_table_shows_every_face_with_its_labels() -> None:
    summary = tally_of(
        answer(1, face("a1", "female")), answer(2, face("a1", "female"), face("a2", "unknown", 1))
    ).summary()
    text = text_of(current_table(summary))
    for expected in ("gender", "a1", "confirmed", "female", "0.75", "a2", "tentative", "unknown"):
        assert expected in text
    assert "1.0 frames/s" in text
    assert "a2" not in text_of(closing_table(summary))


def test_a_frame_without_a_face_has_its_line() -> None:
    summary = tally_of(answer(1)).summary()
    assert "no face in view" in text_of(current_table(summary))
    assert "no face was seen" in text_of(closing_table(summary))


def stamped(second: int) -> Any:
    return SimpleNamespace(header=SimpleNamespace(stamp=SimpleNamespace(sec=second, nanosec=0)))


def test_an_answer_and_its_image_are_paired_in_any_order() -> None:
    pairing = Pairing()
    images, answers = [stamped(n) for n in range(3)], [stamped(n) for n in range(3)]
    assert pairing.add_image(images[0]) is None
    assert pairing.add_answer(answers[1]) is None
    assert pairing.add_answer(answers[0]) == (images[0], answers[0])
    assert pairing.add_image(images[1]) == (images[1], answers[1])
    for second in range(10, 30):
        pairing.add_image(stamped(second))
    assert pairing.add_answer(stamped(10)) is None  # long forgotten
