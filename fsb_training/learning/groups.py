"""Groups of parameters: which ones learn faster, and which ones decay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from torch import nn

from fsb_perception.adapters.base import AdapterConfig
from fsb_perception.towers.parts import TOKENS
from fsb_training.recipe_options import OptimiserOptions

_HEADS = frozenset({"heads", "stem_heads"})
_TEXT = "encoder.text."  # likewise those of the prompts that a text tower reads
_LOSS_WEIGHTS = "weights."  # names of a learner's loss weights begin so


def decays(name: str, parameter: nn.Parameter, adapter: AdapterConfig) -> bool:
    """Return whether weight decay is for a parameter: only matrices and kernels decay.

    Zero is no better a value than another for a bias, a norm, a loss weight, a temperature, or a
    token, which is what prompts and positions are. The adapter names its own exceptions.

    >>> from fsb_perception.adapters import adapter_config
    >>> prompt = nn.Linear(10, 64).weight
    >>> decays("blocks.0.source.prompt", prompt, adapter_config({"method": "vpt"}))
    False
    """
    return parameter.ndim >= 2 and not _is_in(name, TOKENS | adapter.undecayed)


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]],
    options: OptimiserOptions,
    adapter: AdapterConfig,
    weights_rate: float,
) -> list[dict[str, object]]:
    """Return groups: ``params``, ``lr``, ``weight_decay``, ``factor`` and ``constant``.

    A group's rate is ``factor`` times the schedule's rate, plus ``constant``. Learned loss weights
    have a group of their own with ``factor`` 0, whose rate no schedule changes.

    Args:
        named: parameters by name; those that do not train are left out.
        options: rates and decay.
        adapter: names the parameters that learn faster and those that do not decay.
        weights_rate: rate of learned loss weights. At a tower's rate they stay where they begin.
    """
    named = list(named)
    own = [p for name, p in named if name.startswith(_LOSS_WEIGHTS) and p.requires_grad]
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in named:
        if parameter.requires_grad and not name.startswith(_LOSS_WEIGHTS):
            key = (_factor(name, options, adapter), decays(name, parameter, adapter))
            groups.setdefault(key, []).append(parameter)
    scheduled: list[dict[str, object]] = [
        {
            "params": parameters,
            "weight_decay": options.weight_decay if decayed else 0.0,
            "lr": options.learning_rate * factor,
            "factor": factor,
            "constant": 0.0,
        }
        for (factor, decayed), parameters in sorted(
            groups.items(), key=lambda item: (item[0][0], not item[0][1])
        )
    ]
    if not own:
        return scheduled
    constant = {"weight_decay": 0.0, "lr": weights_rate, "factor": 0.0, "constant": weights_rate}
    return [*scheduled, {"params": own, **constant}]


def rate_of(group: Mapping[str, object], rate: float) -> float:
    """Return the rate of a group where the schedule is at ``rate``.

    >>> rate_of({"factor": 6.0, "constant": 0.0}, 0.001), rate_of({"factor": 0, "constant": 0.2}, 1)
    (0.006, 0.2)
    """
    constant = group.get("constant", 0.0)  # checkpoints of earlier releases lack it
    return rate * float(cast(float, group["factor"])) + float(cast(float, constant))


def _factor(name: str, options: OptimiserOptions, adapter: AdapterConfig) -> float:
    if _is_in(name, adapter.faster):
        return options.loraplus_ratio
    if name.startswith(_TEXT):
        return options.text_ratio
    return options.heads_ratio if _is_in(name, _HEADS) else 1.0


def _is_in(name: str, words: frozenset[str]) -> bool:
    """Return whether a part of a parameter's dotted name is one of ``words``."""
    return not words.isdisjoint(name.split("."))
