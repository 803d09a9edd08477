"""Text features of labels, with which a picture's feature is compared.

    label -> phrases x templates -> text tower -> each to length 1 -> mean -> to length 1

The prompt ensemble of Radford et al., "Learning transferable visual models from natural language
supervision", ICML 2021. Several phrases for a label are averaged like several templates: "a photo
of a man" and "a blurry portrait of a boy" both stand for male.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fsb_perception.options import OptionError
from fsb_perception.tasks import TASKS, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fsb_perception.towers.text import Tokenizer

TEMPLATES = (
    "a photo of {}",
    "a portrait of {}",
    "a close up photo of {}",
    "a cropped photo of {}",
    "a blurry photo of {}",
    "a low resolution photo of {}",
    "a dark photo of {}",
    "a black and white photo of {}",
)
"""Descriptions of a robot's pictures: faces cut out, from afar, in bad light."""

_ROOM = 512  # tokens: more than any prompt has, so that nothing is cut while it is counted
_BATCH = 64  # prompts in one forward of a text tower


def label_prompts(row: Task, templates: Sequence[str] = TEMPLATES) -> dict[str, list[str]]:
    """Return every template with every phrase, by label in the task's order.

    >>> label_prompts(TASKS["gender"], ("a photo of {}",))["female"][0]
    'a photo of a woman'

    Raises:
        OptionError: a label has no phrase.
    """
    check_phrases(row)
    return {
        label: [template.format(phrase) for phrase in phrases for template in templates]
        for label, phrases in zip(row.labels, row.phrases, strict=True)
    }


def check_phrases(row: Task) -> None:
    """Refuse a task that lacks a description or a label's phrases.

    Raises:
        OptionError: names the task and what it lacks.
    """
    if len(row.phrases) != len(row.labels) or not all(row.phrases) or not row.description:
        raise OptionError(
            f"task {row.name} has no words: methods with text need its description, and phrases "
            f"for each of its {len(row.labels)} labels, in the table of tasks"
        )


def count_tokens(tokenize: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Count the tokens of each text before it is cut or filled, with marks of start and end.

    Raises:
        OptionError: the tokenizer fills before the text, and not behind it.
    """
    empty, *rows = tokenize(["", *texts], context_length=_ROOM)
    if empty[-1] != empty[-2]:
        raise OptionError(
            "tokenizer: it fills texts up before their first word, but the text towers learned "
            'with words first: set "padding_side": "right" in its tokenizer_config.json'
        )
    return [int((row != empty[-1]).nonzero().max()) + 1 for row in rows]


def context_of(tokenize: Tokenizer) -> int:
    """Return the number of tokens that fit: the length of a row of ``tokenize``."""
    return tokenize([""]).shape[1]


def text_start(tokenize: Tokenizer) -> int:
    """Return the place of a row's first word: 1 behind a mark of the start, 0 without one."""
    empty, word = tokenize(["", "a"])
    return int((empty == word).cumprod(0).sum())


def check_lengths(
    tokenize: Tokenizer, texts: Mapping[str, Sequence[str]], row: Task, room: int = 0
) -> None:
    """Refuse texts that the tokenizer would cut.

    Args:
        tokenize: the backbone's.
        texts: by label, or by another owner such as "description".
        row: their task.
        room: the number of tokens to leave free for learned ones.

    Raises:
        OptionError: names task, label, text, its tokens and how many there may be.
    """
    limit = context_of(tokenize)
    for label, own in texts.items():
        for text, count in zip(own, count_tokens(tokenize, own), strict=True):
            if count + room > limit:
                raise OptionError(
                    f"task {row.name}, {label}: {_too_long(text, count, room, limit)}"
                )


def _too_long(text: str, count: int, room: int, limit: int) -> str:
    learned = f" beside {room} learned ones" if room else ""
    way_out = f"learn {limit - count} at most" if room and count < limit else "say it shorter"
    return (
        f"{text!r} has {count} tokens, marks of start and end included{learned}, but the text "
        f"tower reads {limit}: {way_out}"
    )


def text_features(tower: nn.Module, tokenize: Tokenizer, tasks: Sequence[str]) -> dict[str, Tensor]:
    """Return text features (classes, width), of length 1, by task; without gradients.

    Args:
        tower: of `fsb_perception.towers.text.build_text_tower`, with its published weights.
        tokenize: of `fsb_perception.towers.text.tokenizer`, for the same backbone.
        tasks: names.

    Raises:
        UnknownNameError: an unknown task.
        OptionError: a label has no phrase, or a prompt is too long for the tower.
    """
    rows = [TASKS[name] for name in tasks]
    prompts = {row.name: label_prompts(row) for row in rows}
    for row in rows:
        check_lengths(tokenize, prompts[row.name], row)
    return {name: _ensembles(tower, tokenize, labels) for name, labels in prompts.items()}


def _ensembles(tower: nn.Module, tokenize: Tokenizer, labels: Mapping[str, list[str]]) -> Tensor:
    import torch
    import torch.nn.functional as F

    from fsb_perception.towers.text import encode_text

    tokens = tokenize([text for texts in labels.values() for text in texts])
    tokens = tokens.to(next(tower.parameters()).device)
    with torch.no_grad():
        rows = torch.cat([encode_text(tower, part) for part in tokens.split(_BATCH)])
    by_label = F.normalize(rows, dim=1).split([len(texts) for texts in labels.values()])
    return F.normalize(torch.stack([features.mean(dim=0) for features in by_label]), dim=1)
