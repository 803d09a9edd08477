from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsb_training.datasets import load_part
from fsb_training.datasets.faceset import MISSING
from fsb_training.learning.captions import captions
from fsb_training.learning.captions.captions import FACTS, MOODS, RACES, STAGES, caption, facts_of
from tests.training.datasets import layouts

X = MISSING


def facts(**known: int) -> captions.Facts:
    return np.array([known.get(name, X) for name in FACTS], np.int16)


ANY_FACTS = st.tuples(
    *(st.integers(X, n - 1) for n in (2, len(RACES), len(STAGES), len(MOODS))),
    st.sampled_from([X, 0, 34, 101]),
    *(st.integers(X, 1) for _ in range(2)),
).map(lambda row: np.array(row, np.int16))


@given(ANY_FACTS, st.integers(0, 2**32))
def test_a_caption_mentions_only_what_is_so(row: captions.Facts, seed: int) -> None:
    text, mentioned = caption(row, np.random.default_rng(seed))
    assert ((mentioned == row) | (mentioned == X)).all()
    assert (mentioned != X).any() or (row == X).all()
    for index, words in ((1, RACES), (3, MOODS)):
        named = [word for word in words if f" {word}" in f" {text}"]
        assert named == ([] if mentioned[index] == X else [words[mentioned[index]]])
    assert (str(34) in text) == (mentioned[4] == 34)


@given(ANY_FACTS, st.integers(0, 2**32))
def test_a_caption_is_a_plain_sentence(row: captions.Facts, seed: int) -> None:
    text, _ = caption(row, np.random.default_rng(seed))
    assert text == " ".join(text.split())
    assert not text.endswith(",")
    assert "{" not in text
    assert "  " not in text
    assert " a a" not in f" {text}".replace(" a adult", " a a")
    for vowel in "aeiou":
        assert f" a {vowel}" not in f" {text.lower()}"


@pytest.mark.parametrize(
    ("row", "frame", "form", "expected"),
    [
        (facts(gender=1, stage=2, race=1), 0, 0, "a photo of a Black woman"),
        (facts(gender=0, stage=0), 0, 0, "a photo of a boy"),
        (facts(stage=3), 1, 1, "a portrait of an elderly person"),
        (facts(mood=2), 0, 0, "a photo of a surprised person"),
        (facts(mood=1), 0, 0, "a photo of an unpleasant person"),
        (facts(mood=3, gender=1, stage=2), 0, 1, "a photo of a woman who looks calm"),
        (facts(years=34, gender=0, stage=2), 0, 0, "a photo of a man, 34 years old"),
        (facts(colour=1, light=0), 0, 0, "a dark black and white photo of a person"),
        (facts(years=8, gender=1, stage=0), 12, 0, "a girl, 8 years old, in a photo"),
    ],
)
def test_words(row: captions.Facts, frame: int, form: int, expected: str) -> None:
    assert captions.sentence(row, frame, form) == expected


def test_there_are_some_thirty_templates_and_all_differ() -> None:
    row = facts(gender=1, race=2, stage=2, mood=0, years=30, colour=0, light=1)
    numbers = product(range(len(captions.FRAMES)), range(len(captions.FORMS)))
    assert len({captions.sentence(row, frame, form) for frame, form in numbers}) == 30


def test_omissions_follow_the_chance_to_keep() -> None:
    row, rng = facts(gender=1, race=2, stage=2, mood=0, years=30, colour=0, light=1), _rng()
    kept = np.mean([(caption(row, rng, keep=0.6)[1] != X) for _ in range(2000)], axis=0)
    assert kept == pytest.approx(0.6, abs=0.05)


def test_facts_come_from_labels_and_traits(tmp_path: Path) -> None:
    root = layouts.everything(tmp_path, count=18)
    for name, part in (("FairFace", "train"), ("UTKFace", "all"), ("FERPlus", "train")):
        faces = load_part(root, name, part)
        result = facts_of(faces)
        assert result.shape == (len(faces), len(FACTS))
        assert (result[:, 5:] == X).all()
        if name == "FERPlus":
            assert (result[:, [0, 1, 2, 4]] == X).all()
            assert (result[:, 3] != X).all()
        else:
            assert result[:, 0].tolist() == faces.labels["gender"].tolist()
            assert (result[:, 3] == X).all()
        if name == "UTKFace":
            assert result[:, 4].tolist() == faces.values["age_group"].astype(int).tolist()


@pytest.mark.parametrize(
    ("group", "stage"), [(0, 0), (1, 0), (2, 1), (3, 2), (6, 2), (7, 3), (8, 3), (X, X)]
)
def test_stages_of_life(group: int, stage: int, tmp_path: Path) -> None:
    faces = load_part(layouts.everything(tmp_path, count=4), "FairFace", "train")
    faces.labels["age_group"][:] = group
    assert (facts_of(faces)[:, 2] == stage).all()


@pytest.mark.parametrize(
    ("picture", "style"),
    [
        (np.full((8, 8, 3), 20, np.uint8), (1, 0)),
        (np.full((8, 8, 3), 220, np.uint8), (1, 1)),
        (np.full((8, 8, 3), 120, np.uint8), (1, X)),
        (np.full((8, 8, 3), (40, 120, 200), np.uint8), (0, X)),
    ],
)
def test_style_of_a_picture(picture: np.ndarray, style: tuple[int, int]) -> None:
    assert captions.style_of(picture) == style


def test_every_fact_but_years_is_said_alone_in_all_its_values() -> None:
    groups = captions.single_facts()
    assert [len(texts) for texts, _ in groups] == [2, len(RACES), len(STAGES), len(MOODS), 2, 2]
    for texts, mentioned in groups:
        (fact,) = np.flatnonzero((mentioned != X).any(axis=0))
        assert mentioned[:, fact].tolist() == list(range(len(texts)))
        assert FACTS[fact] != "years"
        assert len(set(texts)) == len(texts)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)
