"""Zero-shot: nothing of the tower learns; a picture is what its nearest text says.

    pixels -> [ image tower, frozen ] -> feature --+
                                                   +-- cosine -- x exp(tau), learned --> logits
    prompts -> [ text tower, frozen ] -> ensemble -+

    logit of label c = exp(tau) cos(image feature, text feature of c)

Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021.
The temperature says how sure to be and never which label wins. The ensembles are computed once and
go into the bundle.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from fsb_perception.adapters.base import AdapterConfig, freeze
from fsb_perception.options import OptionError
from fsb_perception.towers.backbones import BACKBONES, Backbone
from fsb_perception.towers.prompts import Tokenize, text_features

if TYPE_CHECKING:
    from torch import nn


class TextAdapter(AdapterConfig):
    """What methods share whose logits come from text and whose image tower stays as it is."""

    needs_text: ClassVar[bool] = True

    def check(self, row: Backbone, tasks: Sequence[str]) -> None:
        """Refuse a backbone that sees images only."""
        del tasks
        if row.has_text:
            return
        name = next((name for name, known in BACKBONES.items() if known is row), row.family)
        raise OptionError(
            f"backbone: {name} has no text tower, whose features this method compares pictures "
            "with; take one of the PE-Core or SigLIP2 families, or the linear method"
        )

    def adapt(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """The tower, frozen."""
        del tasks
        return freeze(tower)

    @abstractmethod
    def text_heads(
        self, tasks: Sequence[str], text_tower: nn.Module, tokenize: Tokenize
    ) -> tuple[nn.Module | None, dict[str, nn.Module]]:
        """Heads by task, and the module that they share and do not hold, if there is one.

        Args:
            tasks: in the order of the heads.
            text_tower: of the same backbone, with its published weights, float32.
            tokenize: of `fsb_perception.towers.text.tokenizer`.

        Raises:
            OptionError: a text is too long for the tower.
        """


class ZeroShot(TextAdapter):
    """No options: the prompts stand in the table of tasks and in `towers.prompts`."""

    def text_heads(
        self, tasks: Sequence[str], text_tower: nn.Module, tokenize: Tokenize
    ) -> tuple[None, dict[str, nn.Module]]:
        """A cosine head for each task, with its ensembles; they share nothing."""
        from fsb_perception.heads import CosineHead

        features = text_features(text_tower, tokenize, tasks)
        return None, {name: CosineHead(rows) for name, rows in features.items()}
