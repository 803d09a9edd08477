"""V2PT, variational visual prompt tuning: some prompts are learned, others are made of the picture.

    patches of a face --mean--> encoder --+--> mu ---------+
                                          +--> log sigma^2 +--> z --> decoder --> G (generated, w)
                                                           |
                                     training: z = mu + sigma eps, eps ~ N(0, 1)
                                     robot:    z = mu, and no layer for log sigma^2

    [class | P learned | G generated | patches] -> blocks -> norm -> attn_pool
             `------ prompts in all -----'

    loss + beta KL(N(mu, sigma^2) || N(0, 1)),  KL = 1/2 sum (mu^2 + sigma^2 - log sigma^2 - 1)

Xiao et al., "Visual variational autoencoder prompt tuning" (V2APT), arXiv 2503.17650, 2025; the
variational autoencoder: Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014. Encoder
and decoder are perceptrons with one hidden layer. They read the patches' embeddings where the
prompts go in, before the first block, so that the tower runs once; reading its feature would take
two passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import model_validator

from fsb_perception.adapters.base import AdapterConfig, freeze
from fsb_perception.options import option

if TYPE_CHECKING:
    from torch import nn

    from fsb_perception.adapters.variational import VariationalPrompts, VariationalTower


class VariationalVisualPrompts(AdapterConfig):
    """The number of prompts, and the size of the autoencoder that makes those of a picture."""

    merges: ClassVar[bool] = False
    undecayed: ClassVar[frozenset[str]] = frozenset({"prompt"})

    prompts: int = option(10, "tokens beside those of the picture, of both kinds", ge=1, le=1000)
    generated: int = option(5, "prompts among them that are made of the picture", ge=1, le=1000)
    latent: int = option(32, "length of z", ge=1, le=4096)
    hidden: int = option(128, "width of the hidden layer of encoder and decoder", ge=1, le=16384)
    beta: float = option(0.001, "weight of the divergence in the loss", ge=0, le=100)

    @model_validator(mode="after")
    def _check(self) -> VariationalVisualPrompts:
        if self.generated > self.prompts:
            raise ValueError(
                f"generated: got {self.generated}, there are {self.prompts} prompts in all: "
                "generate fewer, or raise prompts"
            )
        return self

    def adapt(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """Return the frozen tower with prompts and their autoencoder, which train."""
        from fsb_perception.adapters.variational import VariationalTower

        del tasks
        self._insert(freeze(tower))
        return VariationalTower(tower, self.beta)

    def merge(self, tower: nn.Module) -> nn.Module:
        """Return the prompted tower without the layer that only training needs."""
        wrapper = cast("VariationalTower", tower)
        wrapper.source.without_variance()
        return wrapper.tower

    def rebuild(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """Return the structure of a merged tower: prompts, and the autoencoder without variance."""
        del tasks
        self._insert(freeze(tower)).without_variance()
        return tower

    def _insert(self, tower: nn.Module) -> VariationalPrompts:
        from fsb_perception.adapters.prefix import insert_prompts
        from fsb_perception.adapters.variational import VariationalPrompts

        learned = self.prompts - self.generated
        source = VariationalPrompts(tower, learned, self.generated, self.latent, self.hidden)
        insert_prompts(tower, [source], self.prompts)
        return source
