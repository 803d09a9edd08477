"""The text sides of the miniature backbones, with random weights and real tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from fsb_perception._torchvision import mend_torchvision
from fsb_perception.tasks import TASKS
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.towers.prompts import TEMPLATES
from fsb_perception.towers.text import build_text_tower, tokenizer


def text_side(name: str, folder: Path) -> tuple[Any, Any]:
    """Text tower, in evaluation, and tokenizer of a row of `MICRO`; the same at every call.

    Args:
        name: of the backbone.
        folder: for the tokenizer that SigLIP2's downloaded one stands in for.
    """
    mend_torchvision()
    row = BACKBONES[name]
    torch.manual_seed(7)
    tower = build_text_tower(row).eval()
    if row.family == "PE-Core":
        return tower, tokenizer(row)
    return tower, tokenizer(row, word_tokenizer(folder))


def word_tokenizer(folder: Path, padding_side: str = "right") -> Path:
    """A folder with a tokenizer like Gemma's as SigLIP2 uses it: words, then <eos>, then <pad>.

    It knows the words of the table of tasks and of the templates; figures stand alone.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    said = [phrase for row in TASKS.values() for label in row.phrases for phrase in label]
    said += [row.description for row in TASKS.values()] + [text.format("") for text in TEMPLATES]
    words = sorted({word for text in said for word in text.split() if not word.isdigit()})
    known = ["<pad>", "<eos>", "<unk>", *"0123456789", *words]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(known)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)]
    )
    made.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side=padding_side,
    ).save_pretrained(folder)
    return folder
