from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fsb_training.datasets.faceset import MISSING
from fsb_training.learning.captions.captions import FACTS
from fsb_training.learning.captions.contrastive import (
    ContrastiveLearner,
    Truth,
    multi_positive_loss,
    truth,
)

X = MISSING


def rows(*known: dict[str, int]) -> torch.Tensor:
    return torch.tensor([[row.get(name, X) for name in FACTS] for row in known])


@pytest.mark.parametrize(
    ("face", "caption", "true", "known"),
    [
        ({"gender": 1}, {"gender": 1}, True, True),
        ({"gender": 1}, {"gender": 0}, False, True),
        ({}, {"gender": 0}, False, False),
        ({"gender": 1, "race": 2}, {"gender": 1}, True, True),
        ({"gender": 1}, {"gender": 1, "race": 2}, False, False),
        ({"gender": 1}, {"gender": 0, "race": 2}, False, True),  # one wrong word is enough
        ({"years": 34}, {"years": 36}, True, True),
        ({"years": 34}, {"years": 37}, False, True),
        ({"gender": 1}, {}, True, True),
    ],
)
def test_what_a_caption_says_of_a_face(face, caption, true, known) -> None:
    pairs = truth(rows(face), rows(caption))
    assert (pairs.true.item(), pairs.known.item()) == (true, known)


def test_with_one_positive_a_row_it_is_clips_loss() -> None:
    similarity = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    pairs = Truth(torch.eye(5, dtype=torch.bool), torch.ones(5, 5, dtype=torch.bool))
    target = torch.arange(5)
    expected = (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2
    torch.testing.assert_close(multi_positive_loss(similarity, pairs), expected)


def test_the_target_is_spread_over_what_is_true() -> None:
    similarity = torch.tensor([[2.0, 1.0, -1.0]])
    pairs = Truth(torch.tensor([[True, True, False]]), torch.ones(1, 3, dtype=torch.bool))
    along = -F.log_softmax(similarity, 1)[0, :2].mean()
    # Down the columns there is one picture, which each true caption meets for certain.
    torch.testing.assert_close(multi_positive_loss(similarity, pairs), along / 2)


def test_unknown_pairs_do_not_matter() -> None:
    similarity = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    true = torch.eye(4, dtype=torch.bool)
    known = true.clone()
    known[0, 1] = True
    loss = multi_positive_loss(similarity, Truth(true, known))
    loss.backward()
    assert (similarity.grad[~known] == 0).all()
    assert similarity.grad[0, 1] > 0


def test_a_picture_without_a_true_caption_adds_nothing_and_stays_finite() -> None:
    similarity = torch.randn(3, 3, requires_grad=True)
    nothing = torch.zeros(3, 3, dtype=torch.bool)
    loss = multi_positive_loss(similarity, Truth(nothing, nothing))
    loss.backward()
    assert loss.item() == 0
    assert similarity.grad.isfinite().all()


def test_agreeing_towers_have_a_smaller_loss_than_chance() -> None:
    facts = rows(*({"gender": i % 2, "stage": i // 2} for i in range(4)))
    pairs = truth(facts, facts)
    assert np.array_equal(pairs.true.numpy(), np.eye(4, dtype=bool))
    features = torch.eye(4)
    good = multi_positive_loss(20 * features @ features.T, pairs)
    chance = multi_positive_loss(torch.zeros(4, 4), pairs)
    assert good < 0.01 < chance


class Words(nn.Module):
    """A text tower in small: the mean of its tokens' embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.table(tokens).mean(dim=1)


class Stuck(nn.Module):
    """An image tower whose blocks pass no gradient to its stem yet."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = nn.Sequential(nn.Flatten(2), nn.Linear(16, 4))  # (n, tokens, width)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.patch_embed(pixels).mean(dim=1).detach()


def batch(count: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    facts = rows(*({"gender": i % 2, "stage": i // 2} for i in range(count)))
    tokens = torch.arange(count)[:, None].expand(-1, 3)
    return torch.rand(count, 3, 4, 4), {"tokens": tokens, "facts": facts, "mentioned": facts}


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_a_stem_learns_by_its_own_loss_where_the_blocks_pass_nothing_on(weight: float) -> None:
    torch.manual_seed(0)
    learner = ContrastiveLearner(Stuck(), Words(), weight, 4)
    loss = learner(*batch(4))
    loss.backward()
    (stem,) = (p for n, p in learner.named_parameters() if n.endswith("patch_embed.1.weight"))
    assert (stem.grad is not None) == (weight > 0)


def test_facts_said_alone_are_contrasted_too() -> None:
    torch.manual_seed(0)
    mentioned = rows({"gender": 0}, {"gender": 1})
    tokens = torch.tensor([[7, 7, 7], [8, 8, 8]])
    plain = ContrastiveLearner(Stuck(), Words())
    also = ContrastiveLearner(Stuck(), Words(), singles=[(tokens, mentioned)])
    also.load_state_dict(plain.state_dict())
    pixels, targets = batch(4)
    also(pixels, targets).backward()
    assert also(pixels, targets) > plain(pixels, targets)
    (words,) = (p for n, p in also.named_parameters() if n == "text_tower.table.weight")
    assert (words.grad[7:].abs().sum(dim=1) > 0).all()


def test_under_autocast_the_loss_is_as_fine_as_without() -> None:
    torch.manual_seed(0)
    learner = ContrastiveLearner(Stuck(), Words(), 0.3, 4)
    pixels, targets = batch(8)
    exact = learner(pixels, targets)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = learner(pixels, targets)
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact.item(), rel=5e-3)
