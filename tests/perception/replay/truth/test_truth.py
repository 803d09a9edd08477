from __future__ import annotations

from pathlib import Path

import pytest

from fsb_perception.replay.truth.files import read_truth, write_truth
from fsb_perception.replay.truth.statements import Statement, TruthError, contradictions

ADA = {"identity": "ada", "box_xyxy": (1.0, 2.0, 3.5, 4.0), "attributes": {"gender": "female"}}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    statements = [
        Statement(camera="front", stamp=5, **ADA),
        Statement(start=0, end=9, identity="ada"),
    ]
    write_truth(tmp_path / "t.jsonl", statements)
    assert read_truth(tmp_path / "t.jsonl") == statements
    assert "hidden" not in (tmp_path / "t.jsonl").read_text()


def test_a_table_holds_the_same_statements(tmp_path: Path) -> None:
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
        ('{"identity": "ada"}', "give either stamp, or start and end"),
        ('{"stamp": 1, "start": 0, "end": 2}', "give either stamp, or start and end"),
        ('{"start": 3, "end": 2}', "end 2 lies before start 3"),
        ('{"stamp": -1}', "stamp: got -1, .*greater than or equal to 0"),
        ('{"stamp": 1, "box_xyxy": [3, 2, 1, 4]}', "right > left"),
        ('{"stamp": 1, "box_xyxy": [1, 2, 3]}', "box_xyxy"),
        (
            '{"stamp": 1, "attributes": {"mood": "good"}}',
            "unknown task 'mood'.* Known: age_group, emotion, gender",
        ),
        ('{"stamp": 1, "attributes": {"gender": "f"}}', "unknown gender 'f'.* Known: female, male"),
        ('{"stamp": 1, "colour": "red"}', "colour"),
    ],
)
def test_an_invalid_statement_is_named_with_its_line(line: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"stamp": 1}\n' + line + "\n")
    with pytest.raises(TruthError, match=why):
        read_truth(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("stamp,mood\n1,good\n", r"t\.csv:1: unknown column 'mood'"),
        ("stamp,gender\n1,male\n2,f\n", r"t\.csv:3: unknown gender 'f'"),
        ("stamp\n1,male\n", r"t\.csv:2: 2 fields, but the header has 1"),
        ("stamp,left\n1,2\n", r"t\.csv:2: box_xyxy"),
        (
            'stamp,identity\n1,"' + "a" * 140_000 + '"\n',
            r"t\.csv is no CSV file in UTF-8: field",
        ),
    ],
)
def test_an_invalid_row_is_named_with_its_line(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TruthError, match=why):
        read_truth(tmp_path / "t.csv")


def test_a_table_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\ufeffstamp,identity,\r\n5, ada ,\r\n,,\r\n", "utf-8")
    assert read_truth(tmp_path / "t.csv") == [Statement(stamp=5, identity="ada")]


@pytest.mark.parametrize("name", ["absent.jsonl", "t.txt"])
def test_a_file_that_cannot_be_truth_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(TruthError, match=name):
        read_truth(tmp_path / name)


def test_binary_is_no_truth(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TruthError, match="no text in UTF-8"):
        read_truth(tmp_path / "t.jsonl")


def test_truth_without_a_statement_is_refused(tmp_path: Path) -> None:
    for name, text in (("a.csv", ""), ("b.csv", "camera,stamp\n"), ("c.jsonl", "\n")):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(TruthError, match="no statement"):
            read_truth(path)


def test_repeated_columns_are_refused_and_contradictions_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("camera,stamp,gender,gender\nfront,5,male,female\n")
    with pytest.raises(TruthError, match="more than one column is called 'gender'"):
        read_truth(path)
    path.write_text(
        "camera,stamp,identity,gender\nfront,5,ada,female\nfront,5,ada,male\nfront,6,ada,female\n"
    )
    problems = contradictions(read_truth(path))
    assert list(problems.values()) == [1]
    assert "ada, camera front, 5 ns" in next(iter(problems.first.values()))
