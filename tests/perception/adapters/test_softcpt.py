from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from fsb_perception.adapters import adapter_config, adapter_settings, stored_adapter
from fsb_perception.adapters.soft_prompts import PrefixedTexts
from fsb_perception.heads import CosineHead
from fsb_perception.model import MultitaskEncoder
from fsb_perception.options import OptionError
from fsb_perception.tasks import TASKS, Task
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.towers.prompts import text_start
from tests.texts import text_side
from tests.towers import MICRO

ALL = tuple(TASKS)
SOFTCPT = adapter_config(
    {
        "method": "softcpt",
        "context": 5,
        "task_context": 2,
        "network": "mlp",
        "hidden": 16,
        "learn_scale": True,
    }
)


@pytest.fixture(params=MICRO)
def side(request, tmp_path):
    """Backbone, text tower and tokenizer; a fresh tower for each test."""
    return request.param, *text_side(request.param, tmp_path)


def encoder_of(name, text_tower, tokenize, tasks=ALL, config=SOFTCPT, seed=1):
    torch.manual_seed(seed)
    tower = config.adapt(BACKBONES[name].build(), tasks)
    soft, heads = config.text_heads(tasks, text_tower, tokenize)
    return MultitaskEncoder(tower, heads, soft)


def loss_of(encoder, pixels, targets):
    logits = encoder(pixels, {task: rows >= 0 for task, rows in targets.items()})
    return sum(F.cross_entropy(rows, targets[task]) for task, rows in logits.items())


@torch.enable_grad()
def fit(encoder, pixels, targets, steps, rate=1e-2):
    optimiser = torch.optim.Adam([p for p in encoder.parameters() if p.requires_grad], lr=rate)
    encoder.train()
    for _ in range(steps):
        optimiser.zero_grad()
        loss_of(encoder, pixels, targets).backward()
        optimiser.step()
    return encoder.eval()


def batch(n=8, seed=5):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(n, 3, 32, 32, generator=generator)
    return pixels, {
        task: torch.randint(len(row.labels), (n,), generator=generator)
        for task, row in TASKS.items()
    }


@pytest.mark.parametrize("tasks", [ALL, ("emotion",)], ids=["multi-task", "single-task"])
def test_fresh_it_is_finite_seeded_and_of_the_length_of_words(side, tasks):
    encoder, same, other = (encoder_of(*side, tasks, seed=seed) for seed in (1, 1, 2))
    pixels, _ = batch()
    with torch.no_grad():
        logits, again, others = encoder(pixels), same(pixels), other(pixels)
    assert {task: rows.shape for task, rows in logits.items()} == {
        task: (8, len(TASKS[task].labels)) for task in tasks
    }
    for task, rows in logits.items():
        assert rows.isfinite().all()
        assert torch.equal(rows, again[task])
        assert not torch.allclose(rows, others[task])
    contexts = torch.stack([encoder.text.context(task) for task in tasks])
    assert contexts.shape[1:] == (5, side[1].width)
    torch.testing.assert_close(contexts.std(), side[1].token_embedding.weight.std())


@pytest.mark.parametrize(
    ("words", "label"),
    [("a photo of", "a man"), ("a close up photo of", "someone in their fifties"), ("a", "a man")],
)
@torch.no_grad()
def test_the_words_of_a_phrase_as_learned_tokens_give_that_phrase(side, words, label):
    _, tower, tokenize = side
    start, count = text_start(tokenize), len(words.split())
    spoken = tower.token_embedding(tokenize([words])[0, start : start + count])
    feature = PrefixedTexts(tokenize, [label], count)(tower, spoken)
    torch.testing.assert_close(feature, tower(tokenize([f"{words} {label}"])))


@torch.no_grad()
def test_features_are_those_of_the_formula(side):
    name, tower, tokenize = side
    soft = encoder_of(*side).text
    start = text_start(tokenize)

    def encoded(learned, text):
        """Run the tower by its parts, on one text."""
        tokens = tokenize([text])
        count = int((tokens != tokens[0, -1]).sum())
        rows = tower.token_embedding(tokens[0])
        rows = torch.cat([rows[:start], learned, rows[start : len(rows) - len(learned)]])
        rows = rows + tower.positional_embedding
        rows = tower.ln_final(tower.transformer(rows[None], attn_mask=tower.attn_mask))[0]
        if name.startswith("PE"):
            return rows[count + len(learned) - 1] @ tower.text_projection
        return tower.text_projection(rows[-1])

    for task in ALL:
        described = encoded(soft.task_context, TASKS[task].description)
        first, _, second, _ = soft.meta
        context = second(F.gelu(first(described))).reshape(5, tower.width)
        expected = [encoded(context, f"{phrases[0]}.") for phrases in TASKS[task].phrases]
        torch.testing.assert_close(soft.features(task), torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_two_steps_move_prompts_meta_network_and_temperatures_alone(side):
    encoder = encoder_of(*side)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    fit(encoder, *batch(), steps=2)
    moved = {key for key, value in encoder.state_dict().items() if not value.equal(before[key])}
    assert moved == {
        "text.task_context",
        *(f"text.meta.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")),
        *(f"heads.{task}.log_scale" for task in ALL),
    }
    assert moved == {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert not any(module.training for module in encoder.train().text.tower.modules())


def test_a_task_without_labels_is_not_computed_and_does_not_move(side):
    encoder = encoder_of(*side)
    encoder.text.labels["emotion"].register_forward_hook(lambda *_: pytest.fail("computed"))
    pixels, targets = batch()
    targets["emotion"][:] = -1
    logits = encoder(pixels, {task: rows >= 0 for task, rows in targets.items()})
    F.cross_entropy(logits["gender"], targets["gender"]).backward()
    assert "emotion" not in logits
    assert encoder.heads["emotion"].log_scale.grad is None
    assert encoder.text.task_context.grad.abs().sum() > 0
    assert encoder.text.meta[0].weight.grad.abs().sum() > 0


def test_eight_pictures_are_learned_by_prompts_alone(side):
    pixels, targets = batch()
    encoder = encoder_of(*side).eval()
    encoder.heads.requires_grad_(False)  # a mere change of temperature may halve the loss too
    chance = sum(math.log(len(TASKS[task].labels)) for task in ALL)
    with torch.no_grad():
        at_first = loss_of(encoder, pixels, targets)
        assert (
            loss_of(fit(encoder, pixels, targets, 60), pixels, targets) < min(at_first, chance) / 2
        )


def test_frozen_heads_give_the_same_logits_without_a_text_tower(side):
    encoder = fit(encoder_of(*side), *batch(), steps=2)
    heads = {task: head.frozen() for task, head in encoder.heads.items()}
    assert all(type(head) is CosineHead for head in heads.values())
    deployed = MultitaskEncoder(encoder.tower, heads).eval()
    assert not any("text." in name for name, _ in deployed.named_parameters())
    pixels, _ = batch(seed=6)
    with torch.no_grad():
        for task, rows in encoder(pixels).items():
            torch.testing.assert_close(deployed(pixels)[task], rows)


def test_a_copy_is_whole_and_apart(side):
    encoder = encoder_of(*side)
    pixels, targets = batch()
    twin = copy.deepcopy(encoder)
    with torch.no_grad():
        before = twin(pixels)
    fit(encoder, pixels, targets, steps=2)
    with torch.no_grad():
        assert all(torch.equal(rows, before[task]) for task, rows in twin(pixels).items())
        for parameter in twin.text.meta.parameters():
            parameter.zero_()
        assert not torch.equal(twin(pixels)["emotion"], before["emotion"]), "another's prompts"
    assert twin.state_dict().keys() == encoder.state_dict().keys()
    assert {name for name in encoder.state_dict() if name.startswith("heads.")} == {
        f"heads.{task}.log_scale" for task in ALL
    }


@pytest.mark.parametrize("context", [5, 15, 25])
def test_labels_of_every_task_fit_every_context(side, context):
    # PE-Core reads 32 tokens: with 25 learned ones there is none left for the full stop.
    config = adapter_config({"method": "softcpt", "context": context, "stop": context < 25})
    config.check_lengths(ALL, side[2])
    assert adapter_settings(config)["context"] == context


def test_overflow_is_named_before_the_text_tower_runs(side, monkeypatch):
    name, tower, tokenize = side
    phrases = (
        ("a face",),
        ("a " * (context_room(name) - 4 - name.startswith("PE")),),
    )  # SigLIP2's drops the stop
    long = Task("shades", ("no", "yes"), description="glasses", phrases=phrases)
    monkeypatch.setattr("fsb_perception.adapters.softcpt.TASKS", {"shades": long})
    monkeypatch.setattr(tower, "forward", lambda *_: pytest.fail("the tower has run"))
    with pytest.raises(
        OptionError, match=r"task shades, yes: .* beside 5 learned ones, .*: learn 4"
    ):
        SOFTCPT.text_heads(["shades"], tower, tokenize)


def context_room(name):
    """Words that fit between the marks."""
    return {"PE-Core-micro": 30, "SigLIP2-micro": 63}[name]


@pytest.mark.parametrize("options", [{"context": 4}, {"context": 26}, {"task_context": 0}])
def test_option_out_of_bounds_is_named(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        adapter_config({"method": "softcpt", **options})


def test_backbone_without_text_is_named():
    with pytest.raises(OptionError, match="nano-vit-80 has no text tower"):
        SOFTCPT.check(BACKBONES["nano-vit-80"], ALL)


def test_in_autocast_training_hears_the_logits_that_ship(side):
    encoder = encoder_of(*side).eval()
    head = encoder.heads["emotion"]
    feature = torch.randn(4, BACKBONES[side[0]].width)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        learning = head(feature)
        shipped = head.frozen()(feature)
    assert learning.dtype == torch.float32
    torch.testing.assert_close(learning, shipped)


PUBLISHED = {"method": "softcpt", "context": 5, "task_context": 2}


@torch.no_grad()
def test_the_published_form_by_hand(side):
    """A linear map N(0, 0.02), contexts of its rows, a full stop, a frozen scale of 100."""
    _, tower, tokenize = side
    encoder = encoder_of(*side, config=adapter_config(PUBLISHED))
    linear = encoder.text.meta[0]
    assert linear.weight.shape == (5 * tower.width, tower.output_dim)
    assert linear.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not linear.bias.any()
    described = PrefixedTexts(tokenize, [TASKS["gender"].description], 2)
    task = described(tower, encoder.text.task_context)[0]
    context = (linear.weight @ task).reshape(5, tower.width)
    torch.testing.assert_close(encoder.text.context("gender"), context)
    texts = [f"{phrases[0]}." for phrases in TASKS["gender"].phrases]
    features = F.normalize(PrefixedTexts(tokenize, texts, 5)(tower, context), dim=1)
    pixels, _ = batch()
    expected = 100 * F.normalize(encoder.tower(pixels), dim=1) @ features.T
    torch.testing.assert_close(encoder(pixels)["gender"], expected, atol=1e-3, rtol=1e-4)
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert trained == {"text.task_context", "text.meta.0.weight", "text.meta.0.bias"}


def test_coop_learns_a_context_for_each_task_alone(side):
    encoder = encoder_of(*side, config=adapter_config({**PUBLISHED, "network": "none"}))
    contexts = torch.stack(list(encoder.text.contexts.values())).detach()
    assert contexts.shape == (3, 5, side[1].width)
    assert contexts.std().item() == pytest.approx(0.02, rel=0.15)
    pixels, targets = batch()
    targets["emotion"][:] = -1
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    fit(encoder, pixels, targets, steps=2)
    moved = {key for key, value in encoder.state_dict().items() if not value.equal(before[key])}
    assert moved == {"text.contexts.gender", "text.contexts.age_group"}


@pytest.mark.parametrize("per_task", [False, True])
def test_visual_and_text_prompts_learn_together_and_ship_without_text(side, per_task):
    config = adapter_config(
        {
            "method": "vpt-softcpt", "prompts": 3, "per_task": per_task, "place": "before-norm",
            "init": "normal", "text": {"context": 5, "task_context": 2},
        }
    )  # fmt: skip
    assert adapter_config(adapter_settings(config)) == config
    encoder = encoder_of(*side, config=config)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    fit(encoder, *batch(), steps=2)
    moved = {key for key, value in encoder.state_dict().items() if not value.equal(before[key])}
    assert moved == {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in moved} == {"text", "tower"}
    rebuilt = config.rebuild(BACKBONES[side[0]].build(), ALL)
    rebuilt.load_state_dict(encoder.tower.state_dict())
    heads = {task: head.frozen() for task, head in encoder.heads.items()}
    pixels, _ = batch(seed=6)
    with torch.no_grad():
        for task, rows in MultitaskEncoder(rebuilt.eval(), heads)(pixels).items():
            torch.testing.assert_close(rows, encoder(pixels)[task], atol=1e-3, rtol=1e-4)


def test_a_file_from_before_means_the_perceptron_of_its_time():
    old = {"method": "softcpt", "context": 8, "task_context": 4, "hidden": 128}
    config = stored_adapter(old)
    assert (config.network, config.stop, config.learn_scale) == ("mlp", False, True)
