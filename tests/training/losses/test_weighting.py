"""Task weights: formulas by hand, absent tasks, and the purpose of each weighting."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fsb_perception.options import walk
from fsb_training.learning.groups import parameter_groups, rate_of
from fsb_training.learning.schedules import learning_rate
from fsb_training.losses.weighting import (
    WEIGHTINGS,
    Famo,
    TaskWeights,
    UncertaintyWeights,
    build_weights,
)
from fsb_training.recipe import load_recipe
from fsb_training.recipe_options import LossOptions

TASKS = ("gender", "age_group", "emotion")
NAMES = tuple(WEIGHTINGS)


def losses(*values: float) -> dict[str, torch.Tensor]:
    return {t: torch.tensor(v, requires_grad=True) for t, v in zip(TASKS, values, strict=False)}


def weights_of(name: str, **options: float) -> TaskWeights:
    return build_weights(LossOptions.model_validate({"weighting": name} | options), TASKS)


def slopes(weights: TaskWeights, batch: dict[str, torch.Tensor]) -> list[float]:
    """Return the weight of each loss, from the gradient."""
    return [float(g) for g in torch.autograd.grad(weights(batch), list(batch.values()))]


def test_equal_weights_add_up() -> None:
    assert weights_of("equal")(losses(1.0, 2.0, 4.0)).item() == pytest.approx(7)


def test_learned_weights_follow_their_formula_and_an_absent_task_keeps_its_own() -> None:
    weights = weights_of("uncertainty")
    assert isinstance(weights, UncertaintyWeights)
    with torch.no_grad():
        weights.log_variance["gender"].fill_(0.5)
        weights.log_variance["emotion"].fill_(3.0)
    total = weights(losses(2.0, 1.5))
    assert total.item() == pytest.approx(2 * math.exp(-0.5) + 0.25 + 1.5)
    total.backward()
    assert weights.log_variance["emotion"].grad is None
    assert weights.log_variance["gender"].grad is not None


@pytest.mark.parametrize("temperature", [0.5, 1.0, 10.0])
def test_uw_so_is_the_softmax_of_inverse_losses(temperature: float) -> None:
    """Inverses 1, 0.5 and 0.25; the gradient is the weight, so none runs through it."""
    parts = [math.exp(inverse / temperature) for inverse in (1.0, 0.5, 0.25)]
    expected = [part / sum(parts) for part in parts]
    batch, weights = losses(1.0, 2.0, 4.0), weights_of("uw-so", uw_so_temperature=temperature)
    assert slopes(weights, batch) == pytest.approx(expected)
    assert weights(batch).item() == pytest.approx(expected[0] + 2 * expected[1] + 4 * expected[2])


@pytest.mark.parametrize("values", [(0.69, 2.2, 1.95), (0.05, 1.0, 0.3)], ids=("first", "late"))
def test_uw_so_leaves_each_task_something_by_default(values: tuple[float, ...]) -> None:
    shares = slopes(weights_of("uw-so"), losses(*values))
    assert max(shares) < 0.6
    assert min(shares) > 0.1


@pytest.mark.parametrize("name", ["mission/lora", "mission/vpt", "mission/linear-probing"])
def test_learned_weights_reach_their_optimum_within_an_epoch_of_a_recipe(name: str) -> None:
    """Of exp(-s) L + s / 2 the minimum is at s = log 2L, also where plateaus lower the rate."""
    recipe = load_recipe(name)
    weights = build_weights(recipe.loss, TASKS)
    named = [(f"weights.{n}", p) for n, p in weights.named_parameters()]
    groups = parameter_groups(named, recipe.optimiser, recipe.adapter, recipe.loss.weights_rate)
    (group,) = groups
    optimiser = torch.optim.AdamW([group])
    constants = dict(zip(TASKS, (0.1, 1.0, 2.0), strict=True))
    for step in range(recipe.evaluate_images // recipe.optimiser.step_images // 2):
        for each in optimiser.param_groups:
            each["lr"] = rate_of(each, learning_rate(step, recipe.optimiser, drops=3))
        for task, parameter in weights.log_variance.items():
            parameter.grad = 0.5 - constants[task] * torch.exp(-parameter.detach())
        optimiser.step()
    assert group["weight_decay"] == 0
    for task, parameter in weights.log_variance.items():
        assert parameter.item() == pytest.approx(math.log(2 * constants[task]), abs=0.01)


def test_famo_begins_with_the_inverse_losses() -> None:
    assert slopes(weights_of("famo"), losses(1.0, 2.0, 4.0)) == pytest.approx([4 / 7, 2 / 7, 1 / 7])


def test_famo_follows_its_formula() -> None:
    """Compute by hand: losses of 1 and 4 fall to 1/2 and 3.6, so delta = (0.6931, 0.1054).

    With z = (1/2, 1/2), J delta = z (delta - z . delta) = (0.1469, -0.1469). Adam's first step is
    the rate against the sign; its second, with the same gradient, again.
    """
    famo = weights_of("famo", famo_decay=0.0)
    assert isinstance(famo, Famo)
    famo(losses(1.0, 4.0))
    famo.after_step(losses(0.5, 3.6))
    assert famo.first.tolist() == pytest.approx([0.01469, -0.01469, 0], abs=1e-5)
    assert famo.second.tolist() == pytest.approx([2.159e-5, 2.159e-5, 0], abs=1e-8)
    assert famo.logits.tolist() == pytest.approx([-0.025, 0.025, 0], abs=1e-6)
    z = [1 / (1 + math.exp(0.05)), 1 / (1 + math.exp(-0.05))]
    share = [z[0] / 1.0, z[1] / 4.0]
    assert slopes(famo, losses(1.0, 4.0)) == pytest.approx([s / sum(share) for s in share])


def test_famo_decays_towards_equal_weights() -> None:
    famo = weights_of("famo", famo_decay=10.0)
    assert isinstance(famo, Famo)
    famo.logits += torch.tensor([1.0, -1.0, 0.0])
    famo(losses(1.0, 1.0))
    famo.after_step(losses(1.0, 1.0))
    assert famo.logits[0] < 1
    assert famo.logits[1] > -1


def test_a_task_that_is_absent_keeps_its_state_and_adam_his_count() -> None:
    famo = weights_of("famo")
    assert isinstance(famo, Famo)
    for _ in range(3):
        famo(losses(1.0, 2.0, 4.0))
        famo.after_step(losses(0.9, 1.9, 3.0))
    before = {name: buffer.clone() for name, buffer in famo.named_buffers()}
    two = losses(1.0, 2.0)
    famo(two)
    famo.after_step(losses(0.5, 2.0))
    for name, buffer in famo.named_buffers():
        assert buffer[2] == before[name][2]
        assert (buffer[:2] != before[name][:2]).all()
    assert famo.steps.tolist() == [4, 4, 3]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(NAMES),
    st.lists(st.floats(0, 1e4), min_size=1, max_size=3),
    st.floats(0.01, 1e3),
)
def test_weights_are_finite_for_any_losses(
    name: str, values: list[float], temperature: float
) -> None:
    weights = weights_of(name, uw_so_temperature=temperature)
    assert all(math.isfinite(slope) for slope in slopes(weights, losses(*values)))
    weights.after_step(losses(*reversed(values)))
    result = slopes(weights, losses(*values))
    assert all(math.isfinite(slope) and slope >= 0 for slope in result)
    if name in ("uw-so", "famo"):
        assert sum(result) == pytest.approx(1, abs=1e-5)


def test_a_state_that_was_saved_goes_on_as_it_would_have() -> None:
    steps = [(losses(1.0, 2.0, 3.0), losses(0.9, 1.9, 2.0)), (losses(2.0, 1.0), losses(1.5, 1.0))]
    unbroken, broken = weights_of("famo"), weights_of("famo")
    for number, (before, after) in enumerate(steps * 3):
        if number == 3:
            again = weights_of("famo")
            again.load_state_dict(broken.state_dict())
            broken = again
        for weights in (unbroken, broken):
            weights(before)
            weights.after_step(after)
    for name, buffer in unbroken.state_dict().items():
        assert torch.equal(buffer, broken.state_dict()[name])


def decreases(name: str, **options: float) -> tuple[float, float]:
    """Return the fall of the logarithms of two conflicting losses in a hundred steps.

    The first is a thousand times larger, and its minimum is near: its gradient and that of its
    logarithm are both the longer ones.
    """
    point, places = torch.nn.Parameter(torch.zeros(2)), torch.tensor([[1.0, 1.0], [-3.0, 1.0]])
    weights, optimiser = weights_of(name, **options), torch.optim.SGD([point], lr=0.01)

    def both() -> dict[str, torch.Tensor]:
        apart = (point - places).square().sum(dim=1)
        return {"gender": 100 * apart[0], "emotion": 0.1 * apart[1]}

    first = both()
    for _ in range(100):
        optimiser.zero_grad()
        weights(both()).backward()
        torch.nn.utils.clip_grad_norm_([point], 1.0)
        optimiser.step()
        with torch.no_grad():
            weights.after_step(both())
    large, small = ((first[task] / loss).log().item() for task, loss in both().items())
    return large, small


def test_famo_lets_all_losses_fall_where_the_sum_serves_the_largest() -> None:
    large, small = decreases("equal")
    assert large > 1
    assert small < 0, "the sum gives up the small one"
    assert decreases("famo", famo_rate=0.0)[1] < 0, "nor do inverse losses alone save it"
    large, small = decreases("famo", famo_rate=0.1)
    assert 0.1 < small < large < 4 * small


def test_a_recipe_may_choose_each_weighting() -> None:
    (option,) = (item for item in walk(LossOptions) if item.name == "weighting")
    assert set(option.choices) == set(WEIGHTINGS)
