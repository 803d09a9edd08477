from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsb_training.experiments import records
from fsb_training.experiments.plan import MAIN, Cell
from tests.training.experiments.made_up import SPIRAL, TASKS, record

CELL = Cell(MAIN, "VPT deep, task-specific", TASKS, 2)


@given(st.lists(st.booleans(), max_size=40))
def test_packed_bits_come_back(bits: list[bool]) -> None:
    row = np.array(bits, bool)
    assert records.unpack(records.pack(row), len(row)).tolist() == bits


def test_a_packed_map_comes_back() -> None:
    places, labels = records.unpack_map(records.pack_map(*SPIRAL))
    np.testing.assert_allclose(places, SPIRAL[0], rtol=1e-3, atol=1e-3)
    assert labels.tolist() == SPIRAL[1].tolist()


def test_a_record_comes_back_and_is_the_same_bytes_again(tmp_path: Path) -> None:
    path = records.write(tmp_path, CELL, record(CELL))
    first = path.read_bytes()
    again = records.read(path)
    assert again == record(CELL)
    assert records.write(tmp_path, CELL, again).read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == [
        "main-vpt-deep-task-specific-gender+age_group+emotion-2.json"
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is no record"),
        ("[]", "is no record"),
        ('{"version": 1}', "is no record"),
        ('{"unknown": 1}', "is no record"),
    ],
)
def test_what_is_no_record_is_named(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(records.RecordError, match=why) as caught:
        records.read_all(tmp_path)
    assert "x.json" in str(caught.value)


def test_a_record_of_another_layout_is_refused(tmp_path: Path) -> None:
    path = records.write(tmp_path, CELL, record(CELL))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))
    with pytest.raises(records.RecordError, match="has layout 99, this FSB reads 1"):
        records.read(path)


def test_a_number_that_is_none_is_not_kept(tmp_path: Path) -> None:
    broken = record(CELL)
    broken.metrics["gender"]["accuracy"] = float("nan")  # type: ignore[index]
    with pytest.raises(ValueError, match="nan"):
        records.write(tmp_path, CELL, broken)
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize(
    ("part", "wanted", "why"),
    [
        ("budget", {"faces": 8000, "visits": 9}, r"2\.json: budget.visits is 6, this sweep has 9"),
        ("origin", {"weights": "xyz"}, r"2\.json: origin.weights is 'abc', this sweep has 'xyz'"),
        ("budget", {"colours": 3}, "budget.colours is None, this sweep has 3"),
        ("budget", {"faces": 8000, "rank": 8}, None),
    ],
)
def test_records_of_another_sweep_are_refused(
    part: str, wanted: dict, why: str | None, tmp_path: Path
) -> None:
    path = records.write(tmp_path, CELL, record(CELL))
    if why is None:
        records.require_same([path], part, wanted)
        return
    with pytest.raises(records.RecordError, match=why):
        records.require_same([path], part, wanted)
