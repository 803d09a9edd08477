from __future__ import annotations

import math

import pytest
import torch

from fsb_perception.adapters import adapter_config, adapter_settings
from fsb_perception.heads import build_head
from fsb_perception.model import MultitaskEncoder
from fsb_perception.options import OptionError
from fsb_perception.tasks import TASKS
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.towers.prompts import text_features
from tests.texts import text_side
from tests.towers import MICRO

ZERO_SHOT = adapter_config({"method": "zero-shot"})


@pytest.fixture(scope="module", params=MICRO)
def side(request, tmp_path_factory):
    return request.param, *text_side(request.param, tmp_path_factory.mktemp("words"))


def encoder_of(name, text_tower, tokenize, tasks=tuple(TASKS)):
    torch.manual_seed(1)
    shared, heads = ZERO_SHOT.text_heads(tasks, text_tower, tokenize)
    assert shared is None
    return MultitaskEncoder(ZERO_SHOT.adapt(BACKBONES[name].build(), tasks), heads)


@pytest.mark.parametrize("tasks", [tuple(TASKS), ("age_group",)], ids=["multi-task", "single-task"])
def test_logits_are_the_scaled_cosines(side, tasks):
    _, tower, tokenize = side
    encoder = encoder_of(*side, tasks).eval()
    encoder.heads["age_group"].log_scale.data.fill_(math.log(12.0))
    pixels = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        logits = encoder(pixels)
        images = encoder.tower(pixels)
    assert tuple(logits) == tasks
    texts = text_features(tower, tokenize, tasks)["age_group"]
    for row, image in zip(logits["age_group"], images, strict=True):
        cosines = [torch.dot(image, text) / (image.norm() * text.norm()) for text in texts]
        torch.testing.assert_close(row, 12.0 * torch.stack(cosines), atol=1e-5, rtol=1e-5)


def test_only_the_temperatures_learn(side):
    encoder = encoder_of(*side)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    optimiser = torch.optim.AdamW([p for p in encoder.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        logits = encoder.train()(torch.randn(4, 3, 32, 32))
        optimiser.zero_grad()
        sum(torch.nn.functional.cross_entropy(rows, torch.tensor([0, 1, 0, 1])) for rows in
            logits.values()).backward()  # fmt: skip
        optimiser.step()
    moved = {key for key, value in encoder.state_dict().items() if not value.equal(before[key])}
    assert moved == {f"heads.{task}.log_scale" for task in TASKS}


def test_a_bundle_needs_no_text_tower_to_give_the_same_logits(side):
    name, *_ = side
    head = encoder_of(*side).heads["emotion"]
    loaded = build_head("text", BACKBONES[name].width, len(TASKS["emotion"].labels))
    loaded.load_state_dict(head.state_dict())
    feature = torch.randn(4, BACKBONES[name].width)
    assert torch.equal(loaded(feature), head(feature))


def test_each_backbone_with_text_is_taken_and_others_are_named():
    assert adapter_settings(ZERO_SHOT) == {"method": "zero-shot"}
    assert ZERO_SHOT.needs_text
    for name, row in BACKBONES.items():
        if row.has_text:
            ZERO_SHOT.check(row, ("gender",))
        else:
            with pytest.raises(OptionError, match=f"{name} has no text tower.*PE-Core or SigLIP2"):
                ZERO_SHOT.check(row, ("gender",))
