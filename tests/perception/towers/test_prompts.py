from __future__ import annotations

import pytest
import torch

from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS, Task
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.towers.prompts import (
    TEMPLATES,
    check_lengths,
    context_of,
    count_tokens,
    label_prompts,
    text_features,
    text_start,
)
from fsb_perception.towers.text import tokenizer
from tests.texts import text_side, word_tokenizer
from tests.towers import MICRO

SHADES = Task("shades", ("no", "yes"), description="glasses", phrases=(("a face",), ("glasses",)))


@pytest.fixture(scope="module", params=MICRO)
def side(request, tmp_path_factory):
    return text_side(request.param, tmp_path_factory.mktemp("words"))


@pytest.mark.parametrize("row", TASKS.values(), ids=lambda row: row.name)
def test_each_label_gets_every_template_with_every_phrase(row):
    prompts = label_prompts(row)
    assert tuple(prompts) == row.labels
    for texts, phrases in zip(prompts.values(), row.phrases, strict=True):
        assert len(set(texts)) == len(TEMPLATES) * len(phrases)
        assert all(any(text.endswith(f" of {phrase}") for phrase in phrases) for text in texts)


@torch.no_grad()
def test_an_ensemble_is_the_mean_of_unit_features_at_unit_length(side):
    tower, tokenize = side
    features = text_features(tower, tokenize, ("gender", "emotion"))
    assert list(features) == ["gender", "emotion"]
    for name, rows in features.items():
        for row, phrases in zip(rows, TASKS[name].phrases, strict=True):
            mean = torch.zeros(tower.output_dim)
            for text in (template.format(phrase) for phrase in phrases for template in TEMPLATES):
                feature = tower(tokenize([text]))[0]
                mean += feature / feature.norm()
            torch.testing.assert_close(row, mean / mean.norm(), atol=1e-6, rtol=1e-5)
    assert (features["gender"][0] - features["gender"][1]).norm() > 1e-3


def test_features_bring_no_gradient_and_no_tower_with_them(side):
    (rows,) = text_features(*side, ["age_group"]).values()
    assert rows.shape == (9, side[0].output_dim)
    assert not rows.requires_grad


def test_prompts_of_every_task_fit_every_tower(side):
    _, tokenize = side
    for row in TASKS.values():
        check_lengths(tokenize, label_prompts(row), row)


def test_tokens_are_counted_before_anything_is_cut(side):
    _, tokenize = side
    marks = 1 + text_start(tokenize)
    texts = ["", "a man", "a 25 year old person", "a man " * 100]
    assert count_tokens(tokenize, texts) == [marks, 2 + marks, 6 + marks, 200 + marks]


@pytest.mark.parametrize(("name", "start", "context"), [(MICRO[0], 1, 32), (MICRO[1], 0, 64)])
def test_the_first_word_stands_behind_the_mark_of_the_start(name, start, context, tmp_path):
    _, tokenize = text_side(name, tmp_path)
    assert text_start(tokenize) == start
    assert context_of(tokenize) == context


def test_text_that_just_fits_is_taken_and_one_word_more_is_refused(side):
    _, tokenize = side
    words = context_of(tokenize) - 1 - text_start(tokenize)
    check_lengths(tokenize, {"yes": ["a " * words]}, SHADES)
    check_lengths(tokenize, {"yes": ["a " * (words - 7)]}, SHADES, room=7)
    with pytest.raises(OptionError) as refusal:
        check_lengths(tokenize, {"yes": ["a man", "a " * words + "man"]}, SHADES)
    limit = context_of(tokenize)
    for part in ("task shades, yes:", f"has {limit + 1} tokens", f"reads {limit}: say it shorter"):
        assert part in str(refusal.value)
    with pytest.raises(OptionError, match=r"beside 8 learned ones, .*: learn 7 at most"):
        check_lengths(tokenize, {"yes": ["a " * (words - 7)]}, SHADES, room=8)


def test_too_long_a_prompt_stops_before_the_text_tower_runs(side, monkeypatch):
    tower, tokenize = side
    long = Task("shades", ("no", "yes"), description="x", phrases=(("a",), ("a " * 70,)))
    monkeypatch.setattr("fsb_perception.towers.prompts.TASKS", {"shades": long})
    monkeypatch.setattr(tower, "forward", lambda *_: pytest.fail("the tower has run"))
    with pytest.raises(OptionError, match="task shades, yes: 'a photo of a a"):
        text_features(tower, tokenize, ["shades"])


@pytest.mark.parametrize(
    "row",
    [
        Task("mask", ("no", "yes")),
        Task("mask", ("no", "yes"), description="a mask", phrases=(("a face",),)),
        Task("mask", ("no", "yes"), description="a mask", phrases=(("a face",), ())),
        Task("mask", ("no", "yes"), phrases=(("a face",), ("a mask",))),
    ],
)
def test_a_task_without_words_is_named(row):
    with pytest.raises(OptionError, match="task mask has no words"):
        label_prompts(row)


def test_an_unknown_task_is_named(side):
    with pytest.raises(UnknownNameError, match="Did you mean 'gender'"):
        text_features(*side, ["gendre"])


def test_a_tokenizer_that_fills_in_front_is_refused(tmp_path):
    tokenize = tokenizer(BACKBONES["SigLIP2-micro"], word_tokenizer(tmp_path, "left"))
    with pytest.raises(OptionError, match='set "padding_side": "right"'):
        count_tokens(tokenize, ["a man"])
