"""Losses of single tasks, and what holds for all: what is missing is not there."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coral_pytorch.losses import coral_loss
from hypothesis import given, settings
from hypothesis import strategies as st

from fsb_perception.options import OptionError, build
from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS, Task
from fsb_training.losses.by_task import (
    LOSSES,
    CrossEntropy,
    LogitAdjusted,
    above_logits,
    build_loss,
    check_losses,
    set_priors,
)
from fsb_training.losses.masked import labelled_counts, masked_mean, task_losses
from fsb_training.recipe import Recipe
from fsb_training.recipe_options import DataOptions, LossOptions

PLAIN = LossOptions(label_smoothing=0.0)
every_loss = pytest.mark.parametrize("name", LOSSES)


def one_hot(labels: list[int], classes: int) -> torch.Tensor:
    """Rows of zeros where the label is -1."""
    rows = torch.zeros(len(labels), classes)
    for row, label in enumerate(labels):
        if label >= 0:
            rows[row, label] = 1
    return rows


FIVE = Task("five", tuple("abcde"), ordered=True)


def built(
    name: str, prior: list[float] | None = None, task: Task = FIVE, **options: float
) -> torch.nn.Module:
    loss = build_loss(name, LossOptions.model_validate({"label_smoothing": 0.0} | options), task)
    if isinstance(loss, LogitAdjusted):
        loss.set_prior(torch.tensor(prior or [0.4, 0.3, 0.2, 0.1, 0.0]))
    return loss


def test_ground_distance_by_hand() -> None:
    """Compute in NumPy: middles of the age groups, equation 16 of Hou et al., a spread target."""
    middles = np.array([1.5, 6.5, 15, 25, 35, 45, 55, 65, 77.5])
    squares = (np.subtract.outer(middles, middles) / 76) ** 2
    logits = noise(1, 9)
    p = np.exp(logits[0].double().numpy())
    p /= p.sum()
    t = np.array([0, 0, 0.25, 0.75, 0, 0, 0, 0, 0])
    term = sum(p[i] ** 2 * (sum(t[j] * squares[i, j] for j in range(9)) - 0.0025) for i in range(9))
    expected = -(t * np.log(p)).sum() + 30 * term
    target = torch.from_numpy(t).float()[None]
    assert built("emd-ground", task=TASKS["age_group"])(logits, target).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_ground_distance_rewards_the_true_class() -> None:
    sure = 30 * one_hot([4], 9)
    assert built("emd-ground", task=TASKS["age_group"])(
        sure, one_hot([4], 9)
    ).item() == pytest.approx(-30 * 0.0025, abs=1e-5)
    loss = built("emd-ground", task=TASKS["age_group"])
    near, far = (loss(30 * one_hot([c], 9), one_hot([4], 9)) for c in (5, 8))
    assert near.item() < far.item()


def learned(loss: torch.nn.Module, target: torch.Tensor) -> torch.Tensor:
    """Logits that a while of descent along ``loss`` leads to."""
    logits = noise(*target.shape).requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.3)
    for _ in range(200):
        optimiser.zero_grad()
        loss(logits, target).sum().backward()
        optimiser.step()
    return logits.detach()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-1, 4), min_size=1, max_size=9), st.sampled_from([0.0, 0.1]))
def test_equals_cross_entropy_over_the_labelled(labels: list[int], smoothing: float) -> None:
    logits, target = noise(len(labels), 5), one_hot(labels, 5)
    known = torch.tensor(labels) >= 0
    per_face = CrossEntropy(LossOptions(label_smoothing=smoothing))(logits, target)
    loss = masked_mean(per_face, target)
    if not known.any():
        assert loss == 0
        return
    expected = F.cross_entropy(
        logits[known], torch.tensor(labels)[known], label_smoothing=smoothing
    )
    torch.testing.assert_close(loss, expected)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(LOSSES)),
    st.lists(st.integers(-1, 4), max_size=9),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([1.0, 100.0]),
)
def test_a_missing_label_is_as_if_the_face_were_not_there(
    name: str, labels: list[int], smoothing: float, scale: float
) -> None:
    """Compare with the loss of the labelled faces alone; the others get no gradient."""
    loss, target = built(name, label_smoothing=smoothing), one_hot(labels, 5)
    logits = (scale * noise(len(labels), 5)).requires_grad_()
    total = masked_mean(loss(logits, target), target)
    assert torch.isfinite(total)
    total.backward()
    known = torch.tensor(labels, dtype=torch.long) >= 0
    torch.testing.assert_close(
        total, masked_mean(loss(logits[known], target[known]), target[known])
    )
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[~known] == 0).all()


@every_loss
def test_soft_labels_have_the_mean_loss_of_their_hard_ones(name: str) -> None:
    """True of all that are linear in the target; a distance is less, by what votes are apart."""
    logits, loss = noise(1, 5), built(name)
    soft = torch.tensor([[0.0, 0.75, 0.25, 0.0, 0.0]])
    apart = 0.75 * 0.25 if name == "emd" else 0.0
    hard = 0.75 * loss(logits, one_hot([1], 5)) + 0.25 * loss(logits, one_hot([2], 5))
    torch.testing.assert_close(loss(logits, soft), hard - apart)


@every_loss
def test_right_answers_cost_least_and_learning_finds_them(name: str) -> None:
    loss, target = built(name, prior=[0.2] * 5), one_hot([0, 1, 2, 3, 4], 5)
    logits = learned(loss, target)
    assert (logits.argmax(dim=1) == torch.arange(5)).all()
    assert loss(logits, target).max() < 0.1


def test_logit_adjustment_follows_its_formula() -> None:
    """Compute by hand: equal logits, a class with a share of a quarter, tau 2."""
    loss = built("logit-adjusted", prior=[0.75, 0.25], tau=2.0)
    result = loss(torch.zeros(1, 2), one_hot([1], 2))
    assert float(result) == pytest.approx(-math.log(0.25**2 / (0.25**2 + 0.75**2)))


def test_balanced_softmax_is_tau_one() -> None:
    counts, logits, target = torch.tensor([90.0, 9.0, 1.0]), noise(4, 3), one_hot([0, 1, 2, 2], 3)
    result = built("logit-adjusted", prior=(counts / 100).tolist())(logits, target)
    weighted = counts * logits.exp()
    expected = -(weighted / weighted.sum(dim=1, keepdim=True)).log()[torch.arange(4), [0, 1, 2, 2]]
    torch.testing.assert_close(result, expected)


def test_adjusted_logits_serve_rare_classes() -> None:
    """Without any evidence, the bare logits learn to prefer no class, though one is rare."""
    prior = [0.9, 0.09, 0.01]
    loss, logits = built("logit-adjusted", prior=prior), torch.zeros(1, 3, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        loss(logits, torch.tensor([prior])).sum().backward()
        optimiser.step()
    torch.testing.assert_close(logits.softmax(1), torch.full((1, 3), 1 / 3), atol=1e-3, rtol=0)


def test_priors_stay_with_their_classes_where_some_are_absent() -> None:
    losses = torch.nn.ModuleDict({t: build_loss("logit-adjusted", PLAIN) for t in ("a", "b")})
    losses["c"] = build_loss("emd", PLAIN)
    priors = {"a": np.array([0.0, 0.5, 0.0, 0.5]), "b": np.zeros(4), "c": np.ones(4) / 4}
    set_priors(losses, priors, torch.device("cpu"))
    shift = losses["a"].shift
    torch.testing.assert_close(shift[[1, 3]], torch.full((2,), math.log(0.5)))
    assert torch.isfinite(shift).all()
    assert (shift[[0, 2]] < -10).all()
    assert losses["b"].shift.unique().numel() == 1
    assert not losses.state_dict()


def test_an_adjusted_loss_without_a_prior_says_so() -> None:
    with pytest.raises(RuntimeError, match="set_prior"):
        build_loss("logit-adjusted", PLAIN)(torch.zeros(1, 2), one_hot([0], 2))


def test_coral_is_that_of_its_authors_on_cumulative_logits() -> None:
    """Their example: three faces of five ranks, and their result."""
    levels = torch.tensor([[1.0, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]])
    above = torch.tensor(
        [[2.1, 1.8, -2.1, -1.8], [1.9, -1.0, -1.5, -1.3], [1.9, 1.8, 1.7, 1.6]]
    ).cummin(dim=1)[0]
    chances = F.pad(above.sigmoid(), (1, 0), value=1.0) - F.pad(above.sigmoid(), (0, 1))
    logits = (chances + 1e-9).log()
    torch.testing.assert_close(above_logits(logits), above, atol=1e-4, rtol=0)
    result = built("coral")(logits, one_hot([2, 1, 4], 5))
    torch.testing.assert_close(result, coral_loss(above, levels, reduction=None))


def test_cumulative_logits_fall_for_any_class_logits() -> None:
    above = above_logits(50 * noise(64, 9))
    assert torch.isfinite(above).all()
    assert (above.diff(dim=1) <= 0).all()


def test_earth_is_moved_by_the_squared_distance() -> None:
    """Compare errors of one and two ranks, between which cross-entropy sees no difference."""
    sure = torch.tensor([[0.5, 0.25, 0.25]]).log()
    near, far = (float(built("emd", emd_weight=w)(sure, one_hot([2], 3))) for w in (0.0, 2.0))
    assert near == pytest.approx(-math.log(0.25))
    assert far - near == pytest.approx(2 * (0.5**2 + 0.75**2))


def three_tasks() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return logits and targets without any age; as the encoder does, leave that task out."""
    logits = {"gender": noise(4, 2), "emotion": noise(4, 7)}
    targets = {
        "gender": one_hot([0, 1, -1, -1], 2),
        "age_group": one_hot([-1] * 4, 9),
        "emotion": one_hot([-1, -1, 3, 6], 7),
    }
    return logits, targets


def test_an_absent_task_has_no_loss_and_the_others_have_their_own() -> None:
    logits, targets = three_tasks()
    kinds = {"gender": CrossEntropy(PLAIN), "emotion": built("emd")}
    losses = task_losses(logits, targets, labelled_counts(targets), kinds)
    assert set(losses) == {"gender", "emotion"}
    for task, loss in losses.items():
        expected = masked_mean(kinds[task](logits[task], targets[task]), targets[task])
        torch.testing.assert_close(loss, expected)
    nobody = {task: rows * 0 for task, rows in targets.items()}
    assert task_losses(logits, nobody, labelled_counts(nobody), kinds) == {}


@pytest.mark.parametrize(
    ("loss", "data", "error", "texts"),
    [
        ({"emotoin": "logit-adjusted"}, {}, UnknownNameError, ("Did you mean 'emotion'",)),
        ({"age_group": "corral"}, {}, UnknownNameError, ("Did you mean 'coral'",)),
        ({"age": "emd"}, {}, UnknownNameError, ("unknown task 'age'", "age_group")),
        ({"emotion": "coral"}, {}, OptionError, ("'coral' for emotion", "it is for age_group")),
        ({"gender": "emd"}, {}, OptionError, ("'emd' for gender", "it is for age_group")),
        (
            {"emotion": "logit-adjusted"},
            {},
            OptionError,
            ("'logit-adjusted' for emotion", "set data.balance to 0, not 0.5"),
        ),
        ({"age_group": "logit-adjusted"}, {"balanced_tasks": ("age_group",)}, OptionError, ("it",)),
    ],
)
def test_losses_that_cannot_be_are_refused(
    loss: dict[str, str],
    data: dict[str, object],
    error: type[Exception],
    texts: tuple[str, ...],
) -> None:
    with pytest.raises(error) as refusal:
        check_losses(LossOptions(by_task=loss), DataOptions.model_validate(data))
    for text in texts:
        assert text in str(refusal.value)


def test_losses_that_can_be_are_taken() -> None:
    recipe = build(
        Recipe,
        {"loss.by_task.emotion": "logit-adjusted", "loss.by_task.age_group": "coral",
         "data.balance": 0.0},
    )  # fmt: skip
    assert recipe.loss.by_task == {"emotion": "logit-adjusted", "age_group": "coral"}
    check_losses(recipe.loss, recipe.data)
    # Sampling that balances another task corrects nothing twice.
    check_losses(LossOptions(by_task={"age_group": "logit-adjusted"}), DataOptions())


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_smoothing_does_not_favour_a_class_that_is_never_drawn(tau: float) -> None:
    """Expect equal bare logits where the picture has no information."""
    prior = [0.5, 0.3, 0.15, 0.05, 0.0]
    loss = built("logit-adjusted", prior, label_smoothing=0.1, tau=tau)
    shares = loss.shift.softmax(0)  # labels as they come, of faces that all look the same
    logits = torch.zeros(1, 5, requires_grad=True)
    loss(logits, shares[None]).sum().backward()
    torch.testing.assert_close(logits.grad, torch.zeros(1, 5), rtol=0, atol=1e-6)
    assert learned(loss, one_hot([0], 5)).argmax() == 0
