"""The interface of an adapter: its options, the towers it makes, and the facts training needs.

    recipe --adapt--> training tower --merge--> deployed tower --save--> bundle
    manifest --rebuild--> the deployed tower's structure <--load-- bundle

The parameters that learn are those that `AdapterConfig.adapt` leaves with ``requires_grad``. All
else that training must know of an adapter, the adapter declares beside it, so that no module of
training names one: which parameters learn faster, which do not decay, which parts of the tower
change, whether there is a rank to choose.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from fsb_perception.options import Options
from fsb_perception.towers.backbones import Backbone

if TYPE_CHECKING:
    from torch import nn

    from fsb_perception.towers.text import Tokenizer


class AdapterConfig(Options, ABC):
    """The options of one adapter; a subclass is a row of `fsb_perception.adapters.ADAPTERS`.

    Attributes:
        merges: the deployed tower is the plain one, at its cost.
        needs_text: logits come from text features, so the backbone must have a text tower.
        takes_rank: there is an option ``rank``, which a comparison sets alike for all that have it.
        faster: parameters that learn at the rate of the base times ``optimiser.loraplus_ratio``.
        undecayed: parameters of two or more axes that weight decay must leave alone. Vectors never
            decay, so they need not be named.
        earlier: options that came later than the adapter, with the value that a bundle or a run
            from before means.

    ``faster`` and ``undecayed`` hold single words of dotted names: ``lora_B`` stands for the
    parameter ``blocks.0.attn.qkv.lora_B.default.weight``.
    """

    merges: ClassVar[bool] = True
    needs_text: ClassVar[bool] = False
    takes_rank: ClassVar[bool] = False
    faster: ClassVar[frozenset[str]] = frozenset()
    undecayed: ClassVar[frozenset[str]] = frozenset()
    earlier: ClassVar[Mapping[str, object]] = {}

    def check(self, row: Backbone, tasks: Sequence[str]) -> None:
        """Refuse what this backbone cannot do, before anything is built.

        Raises:
            OptionError: names option, value seen and what would do.
        """

    def for_backbone(self, row: Backbone) -> AdapterConfig:
        """Return these options with those filled in that they leave to the backbone."""
        del row
        return self

    def without_values(self) -> AdapterConfig:
        """Return options of the same shapes that need no values of weights, for the meta device."""
        return self

    @abstractmethod
    def adapt(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """Prepare a float32 tower for training; it is changed in place.

        Args:
            tower: a row of `BACKBONES`, built and loaded.
            tasks: in the order of the heads.

        Returns:
            A module from pixels (n, 3, s, s) to features (n, width), or a `TaskTower`. Exactly
            those of its parameters that train have ``requires_grad``. If it wraps the tower in a
            module of its own, the forward of that takes ``after``; see `towers.parts.encode`.
        """

    def changes(self, part: nn.Module) -> bool:
        """Return whether a part of an adapted tower differs from the frozen tower's.

        The parts in front of the first that does are computed once for a whole training run.

        Args:
            part: the stem, a block, the pooling, ... of what `adapt` returned.
        """
        return any(parameter.requires_grad for parameter in part.parameters())

    def text_heads(
        self, tasks: Sequence[str], text_tower: nn.Module, tokenize: Tokenizer
    ) -> tuple[nn.Module | None, dict[str, nn.Module]]:
        """Return heads by task that compare a feature with text features.

        Here these are the frozen ensembles of each label's prompts.

        Args:
            tasks: in the order of the heads.
            text_tower: of the same backbone, with its published weights, float32.
            tokenize: of `fsb_perception.towers.text.tokenizer`.

        Returns:
            The module that the heads share and do not hold, if there is one, and the heads.

        Raises:
            OptionError: a text is too long for the tower.
        """
        return None, ensemble_heads(tasks, text_tower, tokenize)

    def merge(self, tower: nn.Module) -> nn.Module:
        """Return the deployed form of what `adapt` returned, in its own precision; consumes it."""
        return tower

    def rebuild(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """Return the structure that `merge` returns, on a fresh tower, for `load_state_dict`."""
        del tasks
        return tower


@runtime_checkable
class LearningHead(Protocol):
    """A head that learns with modules which are not deployed, such as a text tower."""

    def frozen(self) -> nn.Module:
        """Return the head as it is deployed, with the same logits."""


def freeze(module: nn.Module) -> nn.Module:
    """Take every parameter of ``module`` out of training."""
    return module.requires_grad_(False)


def ensemble_heads(
    tasks: Sequence[str], text_tower: nn.Module, tokenize: Tokenizer
) -> dict[str, nn.Module]:
    """Return a `CosineHead` for each task, on the ensembles of its labels' prompts."""
    from fsb_perception.heads import CosineHead
    from fsb_perception.towers.prompts import text_features

    features = text_features(text_tower, tokenize, tasks)
    return {name: CosineHead(rows) for name, rows in features.items()}
