from __future__ import annotations

import re

import pytest

from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS, Task, age_group


def test_the_order_of_labels_is_frozen() -> None:
    # Bags, bundles and manifests remember it.
    assert {name: row.labels for name, row in TASKS.items()} == {
        "gender": ("male", "female"),
        "age_group": ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+"),
        "emotion": ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
    }


@pytest.mark.parametrize("row", TASKS.values(), ids=lambda row: row.name)
def test_edges_rise_and_enclose_each_label(row: Task) -> None:
    assert len(row.edges) in (0, len(row.labels) + 1)
    assert list(row.edges) == sorted(set(row.edges))
    assert bool(row.unit) == bool(row.edges)
    assert row.ordered or not row.edges


@pytest.mark.parametrize("row", TASKS.values(), ids=lambda row: row.name)
def test_each_label_has_phrases_of_its_own(row: Task) -> None:
    assert len(row.phrases) == len(row.labels)
    assert all(row.phrases)
    spoken = [phrase for phrases in row.phrases for phrase in phrases]
    assert len(set(spoken)) == len(spoken)
    # SigLIP2's tokenizer drops other characters, so they may not carry meaning.
    assert all(re.fullmatch(r"[a-zA-Z0-9]+( [a-zA-Z0-9]+)*", text) for text in spoken)
    assert re.fullmatch(r"[a-z]+( [a-z]+)*", row.description)


def test_phrases_of_age_groups_say_their_edges() -> None:
    row = TASKS["age_group"]
    for first, last, phrases in zip(
        row.edges[1:-2], row.edges[2:-1], row.phrases[1:-1], strict=True
    ):
        assert f"{first:.0f} to {last - 1:.0f} years" in phrases[1]


@pytest.mark.parametrize(
    ("years", "label"),
    [(0, "0-2"), (2, "0-2"), (3, "3-9"), (9, "3-9"), (10, "10-19"), (69, "60-69"), (70, "70+"),
     (116, "70+")],
)  # fmt: skip
def test_ages_fall_into_their_group(years: int, label: str) -> None:
    assert TASKS["age_group"].labels[age_group(years)] == label


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match="-1"):
        age_group(-1)
    with pytest.raises(UnknownNameError, match="Did you mean 'emotion'"):
        TASKS["emotoin"]
