"""Groups of parameters: which ones learn faster, and which ones decay."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from fsb_perception.adapters.base import AdapterConfig
from fsb_perception.towers.parts import TOKENS
from fsb_training.recipe_options import OptimiserOptions

_HEADS = frozenset({"heads", "stem_heads"})


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
    named: Iterable[tuple[str, nn.Parameter]], options: OptimiserOptions, adapter: AdapterConfig
) -> list[dict[str, object]]:
    """Return groups for an optimiser: ``params``, ``lr``, ``weight_decay``, and ``factor``.

    ``factor`` is the group's share of the learning rate, by which a schedule multiplies.

    Args:
        named: parameters by name; those that do not train are left out.
        options: rates and decay.
        adapter: names the parameters that learn faster and those that do not decay.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in named:
        if parameter.requires_grad:
            key = (_factor(name, options, adapter), decays(name, parameter, adapter))
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": options.weight_decay if decayed else 0.0,
            "lr": options.learning_rate * factor,
            "factor": factor,
        }
        for (factor, decayed), parameters in sorted(
            groups.items(), key=lambda item: (item[0][0], not item[0][1])
        )
    ]


def _factor(name: str, options: OptimiserOptions, adapter: AdapterConfig) -> float:
    if _is_in(name, adapter.faster):
        return options.loraplus_ratio
    return options.heads_ratio if _is_in(name, _HEADS) else 1.0


def _is_in(name: str, words: frozenset[str]) -> bool:
    """Return whether a part of a parameter's dotted name is one of ``words``."""
    return not words.isdisjoint(name.split("."))
