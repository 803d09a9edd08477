from __future__ import annotations

from pathlib import Path

import pytest

from fsb_perception.replay.truth.files import read_truth, write_truth
from fsb_perception.replay.truth.statements import Statement, TruthError

ADA = {"identity": "ada", "box_xyxy": (1.0, 2.0, 3.5, 4.0), "attributes": {"gender": "female"}}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    said = [Statement(camera="front", stamp=5, **ADA), Statement(start=0, end=9, identity="ada")]
    write_truth(tmp_path / "t.jsonl", said)
    assert read_truth(tmp_path / "t.jsonl") == said
    assert "hidden" not in (tmp_path / "t.jsonl").read_text()


def test_a_table_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "camera,stamp,start,end,identity,left,top,right,bottom,gender,emotion\n"
        "front,5,,,ada,1,2,3.5,4,female,\n"
        ",,0,9,,,,,,,happiness\n"
    )
    first, second = read_truth(tmp_path / "t.csv")
    assert first == Statement(camera="front", stamp=5, **ADA)
    assert second == Statement(start=0, end=9, attributes={"emotion": "happiness"})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", r"t\.jsonl:2: no JSON"),
        ("[]", r"t\.jsonl:2: .*dictionary"),
        ('{"identity": "ada"}', "say either stamp, or start and end"),
        ('{"stamp": 1, "start": 0, "end": 2}', "say either stamp, or start and end"),
        ('{"start": 3, "end": 2}', "end 2 lies before start 3"),
        ('{"stamp": -1}', "stamp: .*greater than or equal to 0, got -1"),
        ('{"stamp": 1, "box_xyxy": [3, 2, 1, 4]}', "right > left"),
        ('{"stamp": 1, "box_xyxy": [1, 2, 3]}', "box_xyxy"),
        ('{"stamp": 1, "attributes": {"mood": "good"}}', "unknown task 'mood'"),
        ('{"stamp": 1, "attributes": {"gender": "f"}}', "gender 'f' is none of male, female"),
        ('{"stamp": 1, "colour": "red"}', "colour"),
    ],
)
def test_what_says_nothing_that_can_be_is_named_with_its_line(
    line: str, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"stamp": 1}\n' + line + "\n")
    with pytest.raises(TruthError, match=why):
        read_truth(path)


@pytest.mark.parametrize("name", ["absent.jsonl", "t.txt"])
def test_a_file_that_cannot_be_truth_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(TruthError, match=name):
        read_truth(tmp_path / name)


def test_binary_is_no_truth(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TruthError, match="no text in UTF-8"):
        read_truth(tmp_path / "t.jsonl")
