from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fsb_training.datasets.faceset import MISSING, FaceSet
from fsb_training.judging.subgroups import (
    UNKNOWN,
    Grouping,
    as_json,
    attributes_of,
    groupings,
    largest_gap,
)

_GENDERS = [0, 0, 0, 0, 1, 1, 1, 1, 1, MISSING]
_RACES = ["White", "Black", "Black", "White", "White", "White", "Black", "", "White", "Black"]
_RIGHT = [True, True, True, False, False, False, True, True, True, False]


def faces(**fields: object) -> FaceSet:
    """Ten faces of known gender and race, one each unknown."""
    given: dict[str, object] = {
        "labels": {"gender": np.array(_GENDERS), "age_group": np.full(10, 3)},
        "traits": {"race": np.array(_RACES)},
    }
    files = tuple(map(str, range(10)))
    return FaceSet("Made", "up", Path(), files, **given | fields)  # type: ignore[arg-type]


def answers(right: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels of age groups: "20-29", taken for "40-49" where not right."""
    return np.eye(9, dtype=np.float32)[[3 if good else 5 for good in right]], np.full(10, 3)


def sorted_faces(min_count: int = 2, **fields: object) -> dict[str, Grouping]:
    result = groupings(
        *answers(_RIGHT), attributes_of(faces(**fields)), ordered=True, min_count=min_count
    )
    return {item.name: item for item in result}


def test_every_crossing_holds_every_face() -> None:
    result = sorted_faces()
    assert set(result) == {
        "gender", "age_group", "race", "gender x age_group", "gender x race", "age_group x race",
        "gender x age_group x race",
    }  # fmt: skip
    for item in result.values():
        assert sum(group.count for group in item.groups) == 10
        assert sum(group.right for group in item.groups) == sum(_RIGHT)


def test_groups_are_counted_by_hand() -> None:
    groups = {item.name: item for item in sorted_faces()["gender x race"].groups}
    counts = {name: (item.right, item.count) for name, item in groups.items()}
    assert counts == {
        "male, Black": (2, 2), "male, White": (1, 2), "female, Black": (1, 1),
        "female, White": (1, 3), f"female, {UNKNOWN}": (1, 1), f"{UNKNOWN}, Black": (0, 1),
    }  # fmt: skip
    assert groups["female, White"].accuracy == pytest.approx(1 / 3)
    low, high = groups["female, White"].interval
    assert low < 1 / 3 < high


def test_small_groups_are_named_and_not_judged() -> None:
    grouping = sorted_faces(min_count=2)["gender x race"]
    small = {group.name for group in grouping.too_small}
    assert small == {"female, Black", f"female, {UNKNOWN}", f"{UNKNOWN}, Black"}
    by_values = {tuple(group["values"]): group for group in as_json(grouping)["groups"]}  # type: ignore[attr-defined]
    assert by_values["female", "Black"] == {
        "values": ["female", "Black"], "count": 1, "too_small": True,
    }  # fmt: skip
    assert by_values["male", "White"]["within_one_accuracy"] == 0.5


def test_the_gap_is_between_the_best_and_the_worst_that_are_judged() -> None:
    gap = sorted_faces(min_count=2)["gender x race"].gap
    assert gap
    assert (gap.best.name, gap.worst.name) == ("male, Black", "female, White")
    assert gap.size == pytest.approx(2 / 3)
    low, high = gap.interval
    assert low < gap.size < high
    assert sorted_faces(min_count=4)["gender x race"].gap is None
    assert sorted_faces()["age_group"].gap is None  # all of one group


def test_a_group_of_unknown_people_is_neither_best_nor_worst() -> None:
    gap = sorted_faces(min_count=1)["gender"].gap  # of the unknown, none is judged right
    assert gap
    assert UNKNOWN not in (*gap.best.values, *gap.worst.values)


def test_the_largest_gap_is_of_one_attribute_and_not_of_the_task_itself() -> None:
    result = list(sorted_faces(min_count=1).values())
    for task, name in (("gender", "race"), ("emotion", "race"), ("race", "gender")):
        grouping, gap = largest_gap(task, result) or pytest.fail("there is none")
        assert grouping.name == name
        assert gap.size == max(
            item.gap.size
            for item in result
            if item.gap and len(item.attributes) == 1 and item.name != task
        )


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"labels": {}, "traits": {}}, []),
        ({"labels": {"emotion": np.zeros(10, np.int64)}, "traits": {}}, []),
        ({"labels": {"gender": np.full(10, MISSING)}, "traits": {}}, []),
        ({"traits": {}}, ["gender", "age_group"]),
        ({"labels": {}, "traits": {"race": np.full(10, "")}}, []),
        ({"labels": {}}, ["race"]),
    ],
)
def test_attributes_are_what_is_known(fields: dict[str, object], names: list[str]) -> None:
    attributes = attributes_of(faces(**fields))
    assert [item.name for item in attributes] == names
    assert len(groupings(*answers(_RIGHT), attributes)) == 2 ** len(names) - 1
