"""The objective "captions": two towers that learn which captions are true of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from fsb_perception.heads import CosineHead
from fsb_perception.model import MultitaskEncoder
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.towers.prompts import text_features
from fsb_perception.towers.text import tokenizer
from fsb_perception.towers.weights import load_text_tower, load_tower
from fsb_perception.types import Image
from fsb_training.data.batches import Activations, Batch, StepBatches
from fsb_training.data.faces import Source
from fsb_training.learning.captions.captions import Facts, caption, facts_of, single_facts, style_of
from fsb_training.learning.captions.contrastive import ContrastiveLearner
from fsb_training.recipe import Recipe


class CaptionLearner(ContrastiveLearner):
    """Both towers of a recipe's backbone, and the loss between them.

    Args:
        recipe: its backbone has a text tower.
    """

    def __init__(self, recipe: Recipe) -> None:
        row, weights = BACKBONES[recipe.backbone], recipe.weights
        tokenize = tokenizer(row, weights.tokenizer, weights.allow_download)
        super().__init__(
            load_tower(recipe.backbone, weights.tower, weights.allow_download),
            load_text_tower(recipe.backbone, weights.text or weights.tower, weights.allow_download),
            recipe.loss.stem,
            row.width,
            [(tokenize(texts), torch.from_numpy(facts)) for texts, facts in single_facts()],
        )
        self._tokenize = tokenize
        self._tasks = recipe.tasks

    @property
    def encoder(self) -> MultitaskEncoder:
        """The image tower with the text features of each label as heads: a zero-shot encoder."""
        features = text_features(self.text_tower, self._tokenize, self._tasks)
        heads: dict[str, nn.Module] = {task: CosineHead(rows) for task, rows in features.items()}
        return MultitaskEncoder(self.image_tower, heads).to(self.log_scale.device)


class CaptionBatches(StepBatches):
    """Batches of pictures, each with a caption that differs at every visit of the picture."""

    def __init__(
        self,
        sources: Sequence[Source],
        recipe: Recipe,
        part: slice = slice(None),
        activations: Activations | None = None,
    ) -> None:
        assert activations is None, "captions need pictures, and both towers learn from them"
        super().__init__(sources, recipe, part)
        weights, row = recipe.weights, BACKBONES[recipe.backbone]
        self._tokenize = tokenizer(row, weights.tokenizer, weights.allow_download)
        self._facts = [facts_of(source.faces) for source in sources]

    def __getitem__(self, index: int) -> Batch:
        pixels, seed = super().__getitem__(index).pixels, [self._recipe.seed, index]
        faces = self._draw_batch(np.random.default_rng(seed))
        # A random stream for each face, apart from those of the pictures.
        streams = np.random.default_rng([*seed, 1]).spawn(len(faces))
        pictures = pixels.permute(0, 2, 3, 1).numpy()
        known = [self._known(*face, p) for face, p in zip(faces[self._part], pictures, strict=True)]
        captions = [caption(f, rng) for f, rng in zip(known, streams[self._part], strict=True)]
        return Batch(
            pixels,
            {
                "tokens": self._tokenize([text for text, _ in captions]),
                "facts": torch.from_numpy(np.stack(known)),
                "mentioned": torch.from_numpy(np.stack([facts for _, facts in captions])),
            },
        )

    def _known(self, s: int, row: int, picture: Image) -> Facts:
        facts = self._facts[s][row].copy()
        facts[-2:] = style_of(picture)
        return facts
