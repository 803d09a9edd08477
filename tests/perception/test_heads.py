"""The ordinal head: probabilities in order, and one of every class, whatever its weights are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fsb_perception.bundles.onnx import export_onnx
from fsb_perception.bundles.preprocessing import Preprocessing
from fsb_perception.heads import HEADS, Ordinal, build_head
from fsb_perception.inference.config import EngineConfig
from fsb_perception.inference.engine import Engine
from fsb_perception.towers.backbones import BACKBONES
from tests.bundles import random_bundle

WIDTH, CLASSES = 16, 9


def shaken(seed: int, scale: float) -> Ordinal:
    """Make a head with weights far from their start."""
    generator = torch.Generator().manual_seed(seed)
    head = Ordinal(WIDTH, CLASSES)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)
    return head


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.0, 1.0, 30.0]), st.sampled_from([1.0, 100.0]))
def test_cumulative_probabilities_fall_and_no_class_is_impossible(
    seed: int, scale: float, size: float
) -> None:
    feature = size * torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(seed))
    logits = shaken(seed, scale)(feature)
    assert logits.shape == (5, CLASSES)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones(5))
    above = 1 - logits.double().exp().cumsum(dim=1)
    assert (above.diff(dim=1) <= 0).all()


def test_its_probabilities_are_differences_of_sigmoids() -> None:
    head, feature = shaken(0, 1.0).double(), torch.randn(7, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        gaps = torch.nn.functional.softplus(head.gaps) + 1e-3
        biases = head.first - torch.cat([torch.zeros(1), gaps.cumsum(0)])
        above = (head.score(feature) + biases).sigmoid()
        ends = torch.ones(7, 1), torch.zeros(7, 1)
        expected = torch.cat([ends[0], above], 1) - torch.cat([above, ends[1]], 1)
        torch.testing.assert_close(head(feature).exp(), expected.float(), atol=1e-6, rtol=1e-4)


def test_a_fresh_one_prefers_no_class_at_a_score_of_zero() -> None:
    probabilities = Ordinal(WIDTH, CLASSES)(torch.zeros(1, WIDTH)).exp()
    torch.testing.assert_close(
        probabilities, torch.full((1, CLASSES), 1 / CLASSES), atol=1e-3, rtol=0
    )


def test_two_classes_are_one_sigmoid() -> None:
    probabilities = Ordinal(WIDTH, 2)(torch.zeros(1, WIDTH)).exp()
    torch.testing.assert_close(probabilities, torch.full((1, 2), 0.5))


def test_it_learns_an_order() -> None:
    torch.manual_seed(0)
    head, feature = Ordinal(WIDTH, CLASSES), torch.randn(CLASSES, WIDTH)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(600):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(head(feature), torch.arange(CLASSES)).backward()
        optimiser.step()
    assert (head(feature).argmax(dim=1) == torch.arange(CLASSES)).all()


@pytest.mark.parametrize("name", HEADS)
def test_every_head_has_a_logit_for_each_class(name: str) -> None:
    for ordered in (False, True):
        head = build_head(name, WIDTH, CLASSES, ordered=ordered).eval()
        assert head(torch.randn(3, WIDTH)).shape == (3, CLASSES)
        ordinal = any(isinstance(part, Ordinal) for part in head.modules())
        assert ordinal == (name == "coral" and ordered)


def test_a_bundle_with_it_is_saved_run_and_exported(tmp_path: Path) -> None:
    size = BACKBONES["PE-Core-micro"].size
    bundle = random_bundle(
        tmp_path / "bundle", backbone="PE-Core-micro", head="coral",
        preprocessing=Preprocessing(size=size), temperature=2.0,
    )  # fmt: skip
    heads = bundle.build_model().heads
    assert isinstance(heads["age_group"][-1], Ordinal)
    assert not any(isinstance(part, Ordinal) for part in heads["emotion"].modules())
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    for precision in ("fp32", "bf16"):
        rows = Engine(bundle, EngineConfig(precision=precision)).encode([picture])["age_group"]
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    file = export_onnx(bundle, tmp_path / "coral.onnx")
    assert file.difference <= 1e-4
