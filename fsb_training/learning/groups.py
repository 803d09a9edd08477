"""Groups of parameters: which learn faster, and which are not pulled to zero."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from fsb_training.recipe_options import OptimiserOptions

# Segments of a parameter's name. peft writes lora_B, MTLoRA's own layers lora_b and task_b.
_B_MATRICES = {"lora_B", "lora_b", "task_b"}
_HEADS = {"heads", "stem_heads"}
_TOKENS = ("prompt", "context", "latent", "pos_embed", "cls_token", "reg_token")


def is_b_matrix(name: str) -> bool:
    """Whether it is the second, zero-born factor of a low-rank difference.

    >>> is_b_matrix("blocks.0.attn.qkv.lora_B.default.weight")
    True
    >>> is_b_matrix("blocks.0.attn.qkv.lora_magnitude_vector.default.weight")
    False
    """
    return not _B_MATRICES.isdisjoint(name.split("."))


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay is for it: matrices and kernels alone.

    Zero is no better a place than another for a bias, a norm, DoRA's row lengths, a loss weight, a
    temperature, or a token, which is what prompts and positions are.
    """
    return parameter.ndim >= 2 and not any(token in name for token in _TOKENS)


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]], options: OptimiserOptions
) -> list[dict[str, Any]]:
    """Groups for an optimiser: ``params``, ``lr``, ``weight_decay``, and ``factor`` of the rate.

    LoRA+ (Hayou et al., ICML 2024) wants exactly the B matrices at a higher rate; peft's own
    optimiser also puts every vector there, row lengths and biases, and is therefore not used.

    Args:
        named: parameters by name; those that do not train are left out.
        options: rates and decay.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in named:
        if parameter.requires_grad:
            key = (_factor(name, options), decays(name, parameter))
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


def _factor(name: str, options: OptimiserOptions) -> float:
    if is_b_matrix(name):
        return options.loraplus_ratio
    return options.heads_ratio if not _HEADS.isdisjoint(name.split(".")) else 1.0
