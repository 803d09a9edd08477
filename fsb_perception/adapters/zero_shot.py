"""Zero-shot: nothing of the tower learns; a picture takes the label of its nearest text.

    pixels -> [ image tower, frozen ] -> feature --+
                                                   +-- cosine -- x exp(tau), learned --> logits
    prompts -> [ text tower, frozen ] -> ensemble -+

    logit of label c = exp(tau) cos(image feature, text feature of c)

Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021.
The temperature changes confidences and never which label wins. The ensembles are computed once and
go into the bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from fsb_perception.adapters.base import AdapterConfig, freeze
from fsb_perception.options import OptionError
from fsb_perception.towers.backbones import BACKBONES, Backbone

if TYPE_CHECKING:
    from torch import nn


class TextAdapter(AdapterConfig):
    """Base of the adapters whose logits come from text and whose image tower stays as it is."""

    needs_text: ClassVar[bool] = True

    def check(self, row: Backbone, tasks: Sequence[str]) -> None:
        """Refuse a backbone without a text tower."""
        del tasks
        if row.has_text:
            return
        name = next((name for name, known in BACKBONES.items() if known is row), row.family)
        raise OptionError(
            f"backbone: {name} has no text tower, and this method compares pictures with its "
            "features; take one of the PE-Core or SigLIP2 families, or the linear method"
        )

    def adapt(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """Return the tower, frozen."""
        del tasks
        return freeze(tower)


class ZeroShot(TextAdapter):
    """No options: the prompts stand in the table of tasks and in `towers.prompts`."""
