"""LoRA and its variants: a frozen matrix learns a low-rank difference, and then absorbs it.

                     +---------------------------+
    x (in) --+-----> | W frozen (out, in)        | -----+--> y = W x + s B A x
             |       +---------------------------+      |
             |       +-----------+   +-----------+      |
             +-----> | A (r, in) |-->| B (out, r)| --s--+     merged: W' = W + s B A
                     +-----------+   +-----------+

LoRA (Hu et al., ICLR 2022): s = alpha / r, A Kaiming, B zero, so a fresh adapter changes nothing.
rsLoRA (Kalajdzievski, 2023): s = alpha / sqrt(r), so that high ranks learn too.
DoRA (Liu et al., ICML 2024): W' = m (W + s B A) / ||W + s B A||, row by row; m is learned.
PiSSA (Meng et al., NeurIPS 2024): A and B begin as W's largest singular directions, W as the rest.
OLoRA (Büyükakyüz, 2024): the same with the first directions of a QR decomposition.
LoRA+ (Hayou et al., ICML 2024) belongs to the optimiser: B learns at a higher rate than A.

peft implements all of them. Merged, each costs at inference what the plain tower costs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import model_validator

from fsb_perception.adapters.base import AdapterConfig, freeze
from fsb_perception.options import OptionError, option
from fsb_perception.towers.backbones import ADAPTER_TARGETS, Backbone

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import nn


TARGETS_HELP = (
    "regular expression that the names of the adapted layers must match whole; if empty, the "
    "backbone's own"
)


class Lora(AdapterConfig):
    """Low-rank adapters in every matrix of the tower that ``targets`` matches."""

    takes_rank: ClassVar[bool] = True
    # peft's own optimiser for LoRA+ would also take DoRA's row lengths and the biases.
    faster: ClassVar[frozenset[str]] = frozenset({"lora_B"})

    rank: int = option(64, "columns of A and B: the most that the difference can span", ge=1)
    alpha: float = option(
        0.0,
        "scale of the difference, which is divided by the rank; 0 takes the rank, and so a scale "
        "of 1, or with rslora of the rank's root",
        ge=0,
    )
    dropout: float = option(0.0, "share of the input hidden from A while training", ge=0, le=0.9)
    rslora: bool = option(False, "divide alpha by the root of the rank, and not by the rank")
    dora: ClassVar[bool] = False
    init: str = option("zero", "how A and B begin", choices=("zero", "pissa", "olora"))
    targets: str = option("", TARGETS_HELP)

    @model_validator(mode="after")
    def _check(self) -> Lora:
        if self.dora and self.dropout:
            raise ValueError(
                f"dropout: got {self.dropout}, DoRA needs 0: its rows' lengths depend on it"
            )
        if self.dora and self.init != "zero":
            raise ValueError(f"init: got {self.init!r}, DoRA begins from zero: leave one of them")
        return self

    def for_backbone(self, row: Backbone) -> Lora:
        """Return these options with the backbone's own targets if ``targets`` is empty."""
        return self.model_copy(update={"targets": self.targets or row.adapter_targets})

    def without_values(self) -> Lora:
        """Return these options begun from zero: weights without values have no singular vectors."""
        return self.model_copy(update={"init": "zero"})

    def adapt(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """Return the tower in peft's wrapper, with only the adapters in training."""
        from peft import LoraConfig, get_peft_model

        del tasks
        layers = matched_layers(tower, self.targets)
        freeze(tower)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha or self.rank,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            use_rslora=self.rslora,
            use_dora=self.dora,
            init_lora_weights=True if self.init == "zero" else self.init,  # type: ignore[arg-type]
            target_modules=layers,
        )
        return get_peft_model(tower, config)  # type: ignore[arg-type]

    def merge(self, tower: nn.Module) -> nn.Module:
        """Return the plain tower with W' = W + s B A.

        Raises:
            ValueError: a difference is not finite.
        """
        return cast("PeftModel", tower).merge_and_unload(safe_merge=True)


class Dora(Lora):
    """LoRA with learned row lengths."""

    dora: ClassVar[bool] = True


def matched_layers(tower: nn.Module, pattern: str) -> list[str]:
    """Return the names of the linear layers of a tower that a pattern matches whole.

    Args:
        tower: timm's.
        pattern: a regular expression; if empty, `ADAPTER_TARGETS`.

    Raises:
        OptionError: there are none, or the pattern is no regular expression.
    """
    from torch import nn

    pattern = pattern or ADAPTER_TARGETS
    layers = [name for name, module in tower.named_modules() if isinstance(module, nn.Linear)]
    if re.search(r"\)[*+?{]", pattern) or len(re.findall(r"[*+?{]", pattern)) > 3:
        # A bundle from elsewhere may bring the pattern, and a robot must not search for hours.
        raise OptionError(
            f"targets: {pattern!r} repeats a group, or more than three times: name less"
        )
    try:
        matches = [name for name in layers if re.fullmatch(pattern, name)]
    except re.error as error:
        raise OptionError(f"targets: {pattern!r} is no regular expression: {error}") from None
    if not matches:
        raise OptionError(
            f"targets: {pattern!r} matches no linear layer; the tower has {', '.join(layers[:4])}, "
            f"... {layers[-1]}"
        )
    return matches
