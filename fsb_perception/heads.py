"""Heads, by name: each turns a feature into the logits of one task.

linear   LayerNorm - Dropout - Linear                        for towers that are trained themselves
mlp      BatchNorm - Dropout - Linear - GELU - Linear        for frozen towers: their features have
                                                             channels of very different scale
coral    LayerNorm - Dropout - Ordinal                       for ordered labels: one number with
                                                             ordered cuts; "linear" for others
text     exp(scale) * cosine(feature, text feature of each label)       no weights but the scale
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from fsb_perception.registry import Registry

_LEAST_GAP = 1e-3  # between the places of an ordinal head: no class may have a probability of zero


class SparseBatchNorm(nn.BatchNorm1d):
    """Batch normalisation that also takes a batch of one face, by its running statistics.

    In a multitask batch a task may have a single labelled face, which has no variance.

    >>> SparseBatchNorm(4).train()(torch.ones(1, 4)).shape
    torch.Size([1, 4])
    """

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Normalise (n, width) by the batch, or by the running statistics if n is 1."""
        if self.training and len(feature) < 2:
            mean, variance = self.running_mean, self.running_var
            return F.batch_norm(
                feature, mean, variance, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(feature)


class CosineHead(nn.Module):
    """Logits from the cosine between a picture's feature and the text feature of each label.

    Radford et al., "Learning transferable visual models from natural language supervision", ICML
    2021. The text features are stored, so that the head runs without a text tower.

    Args:
        text: (classes, width) features, one for each label; any length.
        scale: initial factor of the cosine; CLIP and its relatives end near 100.

    >>> head = CosineHead(torch.eye(2, 4), scale=10.0)
    >>> head(torch.tensor([[0.0, 2.0, 0.0, 0.0]])).round().tolist()
    [[0.0, 10.0]]
    """

    text: torch.Tensor

    def __init__(self, text: torch.Tensor, scale: float = 100.0) -> None:
        super().__init__()
        self.register_buffer("text", F.normalize(text, dim=1))
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Return logits (n, classes) of features (n, width)."""
        return cosine_logits(feature, self.text, self.log_scale)


def cosine_logits(
    feature: torch.Tensor, text: torch.Tensor, log_scale: torch.Tensor
) -> torch.Tensor:
    """Return exp(log_scale) times the cosine of features (n, width) and texts (classes, width).

    The result (n, classes) is float32, also under autocast: after the factor of 100, the rounding
    of bfloat16 would be a tenth.
    """
    cosine = F.cosine_similarity(feature.float()[:, None], text.float()[None], dim=2)
    return log_scale.float().exp() * cosine


class Ordinal(nn.Module):
    """Class logits from one number: P(y > k) = sigmoid(w x + b_k), with b_k falling in k.

    Cao et al., "Rank consistent ordinal regression for neural networks with application to age
    estimation" (CORAL), Pattern Recognition Letters 2020. There the b_k end up in order; here their
    form forces the order, so every class has a probability at every step. The outputs are the
    logarithms of these probabilities, so they serve as logits.

    Args:
        width: of the features (n, width).
        classes: number of classes, in order.

    >>> Ordinal(width=8, classes=4)(torch.zeros(1, 8)).exp().round(decimals=2).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)
        above = torch.arange(classes - 1, 0, -1) / classes  # all classes alike at a score of zero
        biases = torch.logit(above)
        self.first = nn.Parameter(biases[:1].clone())
        self.gaps = nn.Parameter(torch.log(torch.expm1(-biases.diff())))

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Return logits (n, classes) of features (n, width): float32 log-probabilities."""
        gaps = F.softplus(self.gaps.float()) + _LEAST_GAP
        biases = self.first.float() - F.pad(gaps.cumsum(dim=0), (1, 0))
        above = self.score(feature).float() + biases
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), without cancelling.
        inner = F.pad(torch.log1p(-torch.exp(-gaps)), (1, 1))
        return F.pad(F.logsigmoid(above), (1, 0)) + F.pad(F.logsigmoid(-above), (0, 1)) + inner


def _linear(width: int, classes: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, classes))


def _mlp(width: int, classes: int, dropout: float) -> nn.Module:
    return nn.Sequential(
        SparseBatchNorm(width),
        nn.Dropout(dropout),
        nn.Linear(width, width),
        nn.GELU(),
        nn.Linear(width, classes),
    )


def _coral(width: int, classes: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout), Ordinal(width, classes))


def _text(width: int, classes: int, dropout: float) -> nn.Module:
    del dropout
    return CosineHead(torch.zeros(classes, width))


_BUILDERS = Registry("head", {"linear": _linear, "mlp": _mlp, "coral": _coral, "text": _text})
HEADS = tuple(_BUILDERS)


def build_head(
    name: str, width: int, classes: int, dropout: float = 0.0, ordered: bool = False
) -> nn.Module:
    """Build a head with fresh weights.

    Args:
        name: one of `HEADS`; the text features of "text" are zeros, to be loaded.
        width: of the features (n, width).
        classes: number of classes.
        dropout: share of the feature hidden while training.
        ordered: the labels are in order; otherwise "coral" has no meaning, and is "linear".

    Raises:
        UnknownNameError: there is no such head.

    >>> build_head("linear", width=8, classes=3)(torch.zeros(2, 8)).shape
    torch.Size([2, 3])
    """
    build = _BUILDERS[name]
    if build is _coral and not ordered:
        build = _linear
    return build(width, classes, dropout)
