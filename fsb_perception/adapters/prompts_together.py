"""Prompts on both sides: visual prompts in the image tower, and SoftCPT's contexts in the text.

    [class | P | patches] -> [ image tower, frozen ] -> feature --+
                                                                  +-- exp(tau) cos --> logits
    [SOS, context of task t, label c, ".", EOS] -> [ text tower ] +

    first   the text side alone, in a run of softcpt: the towers plain
    then    both, in a run that begins with that one's contexts (``weights.prompts``), the text
            side at a tenth of the rate (``optimiser.text_ratio``)

The theses train so. See `vpt`, `v2pt` and `softcpt` for the parts and their papers; with
``text.network: none`` the text side is CoOp. The text features go into the bundle, so a robot runs
the prompted image tower alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from fsb_perception.adapters.base import AdapterConfig
from fsb_perception.adapters.softcpt import SoftCpt
from fsb_perception.adapters.v2pt import VariationalVisualPrompts
from fsb_perception.adapters.vpt import VisualPrompts
from fsb_perception.towers.backbones import Backbone

if TYPE_CHECKING:
    from torch import nn

    from fsb_perception.towers.text import Tokenizer


class _WithSoftText(AdapterConfig):
    """The text side of SoftCPT beside whatever adapts the image tower."""

    needs_text: ClassVar[bool] = True
    undecayed: ClassVar[frozenset[str]] = SoftCpt.undecayed | {"prompt"}

    text: SoftCpt = SoftCpt()

    def check(self, row: Backbone, tasks: Sequence[str]) -> None:
        """Refuse a backbone without a text tower."""
        self.text.check(row, tasks)

    def text_heads(
        self, tasks: Sequence[str], text_tower: nn.Module, tokenize: Tokenizer
    ) -> tuple[nn.Module | None, dict[str, nn.Module]]:
        """Return the contexts, which all heads share, and a head for each task."""
        return self.text.text_heads(tasks, text_tower, tokenize)


class VisualAndTextPrompts(_WithSoftText, VisualPrompts):
    """VPT with the text side of SoftCPT."""


class VariationalAndTextPrompts(_WithSoftText, VariationalVisualPrompts):
    """V2PT with the text side of SoftCPT."""
