from __future__ import annotations

import pytest

from fsb_perception.registry import Registry, UnknownNameError


@pytest.fixture
def shapes() -> Registry[int]:
    return Registry("shape", {"circle": 1, "square": 2})


def test_it_reads_like_a_mapping(shapes: Registry[int]) -> None:
    assert dict(shapes) == {"circle": 1, "square": 2}
    assert "circle" in shapes
    assert len(shapes) == 2


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("circel", "unknown shape 'circel'. Did you mean 'circle'? Known: circle, square."),
        ("zzz", "unknown shape 'zzz'. Known: circle, square."),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(
    shapes: Registry[int], asked: str, message: str
) -> None:
    with pytest.raises(UnknownNameError) as caught:
        shapes[asked]
    assert str(caught.value) == message
    with pytest.raises(UnknownNameError) as caught:
        shapes.check(["circle", asked])
    assert str(caught.value) == message
    assert asked not in shapes


def test_an_empty_registry_says_so() -> None:
    with pytest.raises(UnknownNameError, match="Known: none"):
        Registry("shape", {})["circle"]
