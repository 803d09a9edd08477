"""The modules of V2PT (see `fsb_perception.adapters.v2pt`): prompts made from a picture."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from fsb_perception.adapters.prefix import fresh_prompts
from fsb_perception.towers.parts import encode


class VariationalPrompts(nn.Module):
    """Learned prompts, and behind them such as a variational autoencoder makes of each face.

    Args:
        tower: whose patch projection says how wide prompts are, and how large they begin.
        learned: prompts that are the same for every face.
        generated: prompts that are made of it.
        latent: length of z.
        hidden: width of the encoder's and the decoder's hidden layer.
    """

    def __init__(
        self, tower: nn.Module, learned: int, generated: int, latent: int, hidden: int
    ) -> None:
        super().__init__()
        self.prompt = fresh_prompts(tower, learned)
        width = self.prompt.shape[1]
        self._start: int = tower.num_prefix_tokens  # type: ignore[assignment]
        # Patches come in at any scale; the layer behind the norm has scale and shift of its own.
        norm = nn.LayerNorm(width, elementwise_affine=False)
        self.encoder = nn.Sequential(norm, nn.Linear(width, hidden), nn.GELU())
        self.mean = nn.Linear(hidden, latent)
        self.log_variance: nn.Linear | None = nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden),
            nn.GELU(),
            nn.Linear(hidden, generated * width),
            nn.Unflatten(1, (generated, width)),
        )
        self.to(self.prompt)
        self._divergence: torch.Tensor | None = None

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Prompts (n, learned + generated, w) for ``tokens`` (n, t, w), class token and patches."""
        code = self.encoder(tokens[:, self._start :].mean(1))
        made = self.decoder(self._sample(code))
        learned = self.prompt.expand(tokens.shape[0], -1, -1)
        return torch.cat((learned, made), dim=1)

    def _sample(self, code: torch.Tensor) -> torch.Tensor:
        mean = self.mean(code)
        self._divergence = None
        if not self.training or self.log_variance is None:
            return mean
        log_variance = self.log_variance(code)
        self._divergence = divergence(mean, log_variance)
        return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)

    def take_divergence(self) -> torch.Tensor | None:
        """That of the last forward, once: who has it holds its graph, and nobody else."""
        taken, self._divergence = self._divergence, None
        return taken

    def without_variance(self) -> VariationalPrompts:
        """Itself as deployed: z is the mean, and what drew it is gone."""
        self.log_variance = None
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_divergence": None}  # a tensor with a graph cannot be copied


class VariationalTower(nn.Module):
    """A tower whose prompts add to the loss.

    Args:
        tower: with `VariationalPrompts` before its first block.
        beta: weight of the divergence.
    """

    def __init__(self, tower: nn.Module, beta: float) -> None:
        super().__init__()
        self.tower = tower
        self._beta = beta

    @property
    def source(self) -> VariationalPrompts:
        """What makes the prompts."""
        return cast(VariationalPrompts, self.tower.get_submodule("blocks.0.source"))

    def forward(self, inputs: torch.Tensor, after: str = "") -> torch.Tensor:
        """Return features (n, width) of pixels (n, 3, s, s), or of activations; see `encode`."""
        return encode(self.tower, inputs, after)

    def penalty(self) -> torch.Tensor | None:
        """The divergence of the last forward in training, times beta; once, else None."""
        found = self.source.take_divergence()
        return None if found is None else self._beta * found


def divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL(N(mean, variance) || N(0, 1)) in nats, summed over z and averaged over the faces.

    >>> divergence(torch.ones(3, 2), torch.zeros(3, 2)).item()
    1.0
    """
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()
