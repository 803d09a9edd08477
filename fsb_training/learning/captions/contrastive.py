"""Contrastive learning with captions that are true of many pictures, not of their own alone.

                 caption 1   caption 2   caption 3
    picture 1    true        false       unknown       rows and columns: log-softmax over the known
    picture 2    true        true        false         pairs; the target is spread evenly over
    picture 3    false       unknown     true          the true ones

A caption of the batch mentions several facts and is true of few pictures. Beside them every fact is
contrasted alone, "a photo of a man" with "a photo of a woman". That teaches less and is far less
noisy; without it, two fresh towers learn for long only which pictures are dark or grey.

The first contrastive loss (Radford et al., ICML 2021) takes every pair but a picture and its own
caption for a mismatch. Here most batches hold a second woman of whom "a photo of a woman" is just
as true. Several positives share the target, as in supervised contrastive learning (Khosla et al.,
NeurIPS 2020) and UniCL (Yang et al., CVPR 2022); pairs of unknown truth are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from fsb_perception.towers.text import encode_text
from fsb_training.datasets.faceset import MISSING
from fsb_training.learning.captions.captions import TOLERANCE, VALUES
from fsb_training.learning.stem import StemFeature

_LARGEST_SCALE = 100.0  # of the cosines; CLIP's limit


class Truth(NamedTuple):
    """The truth of captions about pictures.

    Attributes:
        true: bool (pictures, captions).
        known: bool (pictures, captions); a true pair is known.
    """

    true: torch.Tensor
    known: torch.Tensor


class Captions(NamedTuple):
    """Captions that are contrasted with each other.

    Attributes:
        texts: features (captions, width).
        mentioned: facts (captions, facts).
    """

    texts: torch.Tensor
    mentioned: torch.Tensor


def truth(facts: torch.Tensor, mentioned: torch.Tensor) -> Truth:
    """Compare the facts of pictures with the facts that captions mention.

    Args:
        facts: int (pictures, facts); `MISSING` where unknown.
        mentioned: int (captions, facts); `MISSING` where not mentioned.

    Returns:
        A caption is true of a picture if every fact that it mentions is; it is known to be false
        as soon as one fact differs.
    """
    seen, claimed = facts[:, None].long(), mentioned[None].long()
    tolerance = torch.as_tensor(TOLERANCE, device=facts.device)
    matters, unknown = claimed != MISSING, seen == MISSING
    wrong = (matters & ~unknown & ((seen - claimed).abs() > tolerance)).any(2)
    true = ~wrong & ~(matters & unknown).any(2)
    return Truth(true, true | wrong)


def multi_positive_loss(similarity: torch.Tensor, pairs: Truth) -> torch.Tensor:
    """Return the mean of both directions' cross-entropy against the true pairs, a scalar.

    Args:
        similarity: (pictures, captions) logits.
        pairs: their truth; a row or column without a true pair adds nothing.
    """
    return (_direction(similarity, pairs) + _direction(similarity.T, _turned(pairs))) / 2


def _turned(pairs: Truth) -> Truth:
    return Truth(pairs.true.T, pairs.known.T)


def _direction(similarity: torch.Tensor, pairs: Truth) -> torch.Tensor:
    count = pairs.true.sum(1)
    rows = count > 0
    logits = similarity[rows].masked_fill(~pairs.known[rows], -math.inf)
    log_share = F.log_softmax(logits, dim=1).masked_fill(~pairs.true[rows], 0.0)
    return -(log_share.sum(1) / count[rows]).sum() / rows.sum().clamp(min=1)


class ContrastiveLearner(nn.Module):
    """An image tower and a text tower that learn to agree.

    Args:
        image_tower: pixels (n, 3, s, s) to features (n, width).
        text_tower: open_clip's, token ids (n, context) to features (n, width).
        stem_weight: of throw-away heads that read the facts from the image tower's stem; 0 for
            none.
        stem_width: of the stem's feature.
        singles: captions that mention one fact alone, a group for each fact: token ids
            (values, context) and the mentioned facts (values, facts).
    """

    def __init__(
        self,
        image_tower: nn.Module,
        text_tower: nn.Module,
        stem_weight: float = 0.0,
        stem_width: int = 0,
        singles: Sequence[tuple[torch.Tensor, torch.Tensor]] = (),
    ) -> None:
        super().__init__()
        self.image_tower = image_tower
        self.text_tower = text_tower
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self._stem_weight = stem_weight
        self._stem = StemFeature(image_tower) if stem_weight else None
        self.stem_heads = nn.ModuleList(
            nn.Linear(stem_width, count) for count in VALUES if count and stem_weight
        )
        self._singles = [mentioned for _, mentioned in singles]
        tokens = torch.cat([tokens for tokens, _ in singles]) if singles else torch.empty(0)
        self.register_buffer("_single_tokens", tokens, persistent=False)
        self.last_losses: dict[str, torch.Tensor] = {}  # captions have no tasks

    def set_priors(self, priors: Mapping[str, object]) -> None:
        """Do nothing: captions have no classes."""
        del priors

    def counts(self, batches: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Return nothing: captions have no missing labels."""
        del batches
        return {}

    def after_step(self, pixels: torch.Tensor, targets: Mapping[str, torch.Tensor]) -> None:
        """Do nothing: captions have no task losses."""
        del pixels, targets

    def forward(
        self,
        pixels: torch.Tensor,
        targets: Mapping[str, torch.Tensor],
        counts: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return the loss of a batch, a scalar.

        Args:
            pixels: (n, 3, s, s), normalised RGB.
            targets: ``tokens`` (n, context), ``facts`` and ``mentioned`` (n, facts).
            counts: not used. Each of several processes contrasts its own pictures.
        """
        del counts
        images = self.image_tower(pixels)
        groups = self._captions(targets)
        loss = self._contrast(images, groups, targets["facts"])
        if self._stem:
            loss = loss + self._stem_weight * self._stem_loss(self._stem.take(), targets["facts"])
        return loss

    def _stem_loss(self, stem: torch.Tensor, facts: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of the stem's heads; unknown facts are left out."""
        columns = (column for column, count in zip(facts.T.long(), VALUES, strict=True) if count)
        losses = []
        for head, column in zip(self.stem_heads, columns, strict=True):
            total = F.cross_entropy(
                head(stem).float(), column, ignore_index=MISSING, reduction="sum"
            )
            losses.append(total / (column != MISSING).sum().clamp(min=1))
        return torch.stack(losses).mean()

    def _captions(self, targets: Mapping[str, torch.Tensor]) -> list[Captions]:
        """Return the batch's own captions, and the captions of each single fact."""
        mentioned = [targets["mentioned"], *(m.to(self.log_scale.device) for m in self._singles)]
        tokens = targets["tokens"]
        if self._singles:
            tokens = torch.cat([tokens, self.get_buffer("_single_tokens")])
        texts = encode_text(self.text_tower, tokens).split([len(m) for m in mentioned])
        return list(map(Captions, texts, mentioned))

    def _contrast(
        self, images: torch.Tensor, groups: Sequence[Captions], facts: torch.Tensor
    ) -> torch.Tensor:
        # In bfloat16 a scaled cosine would be wrong by some hundredths.
        with torch.autocast(images.device.type, enabled=False):
            scale = self.log_scale.clamp(max=math.log(_LARGEST_SCALE)).exp()
            images = scale * F.normalize(images.float(), dim=1)
            first, *singles = (
                multi_positive_loss(
                    images @ F.normalize(group.texts.float(), dim=1).T,
                    truth(facts, group.mentioned),
                )
                for group in groups
            )
            return first + torch.stack(singles).mean() if singles else first
