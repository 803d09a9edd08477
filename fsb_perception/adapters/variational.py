"""The modules of V2PT (see `fsb_perception.adapters.v2pt`): prompts made from a picture."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from fsb_perception.adapters.prefix import fresh_prompts
from fsb_perception.towers.parts import encode


class VariationalPrompts(nn.Module):
    """Learned prompts, followed by prompts that a variational autoencoder makes of each face.

    Args:
        tower: its patch projection sets the prompts' width and first values.
        learned: the number of prompts that are the same for every face.
        generated: the number of prompts that are made of the face.
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
        # The norm takes patches of any scale; scale and shift are those of the layer behind it.
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
        """Return prompts (n, learned + generated, w) for ``tokens`` (n, t, w) of faces."""
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
        """Return the divergence of the last forward, then forget it and with it its graph."""
        divergence, self._divergence = self._divergence, None
        return divergence

    def without_variance(self) -> VariationalPrompts:
        """Remove the layer of the variance, so that z is the mean; return this module."""
        self.log_variance = None
        return self

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_divergence": None}  # a tensor with a graph cannot be copied


class VariationalTower(nn.Module):
    """A tower whose prompts add a term to the loss.

    Args:
        tower: timm's, with `VariationalPrompts` before its first block.
        beta: weight of the divergence.
    """

    def __init__(self, tower: nn.Module, beta: float) -> None:
        super().__init__()
        self.tower = tower
        self._beta = beta

    @property
    def source(self) -> VariationalPrompts:
        """The module that makes the prompts."""
        return cast(VariationalPrompts, self.tower.get_submodule("blocks.0.source"))

    def forward(self, inputs: torch.Tensor, after: str = "") -> torch.Tensor:
        """Return features (n, width) of pixels (n, 3, s, s), or of activations; see `encode`."""
        return encode(self.tower, inputs, after)

    def penalty(self) -> torch.Tensor | None:
        """Return beta times the divergence of the last forward in training, once; else None."""
        divergence = self.source.take_divergence()
        return None if divergence is None else self._beta * divergence


def divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Return KL(N(mean, variance) || N(0, 1)) in nats, summed over z, averaged over the faces.

    >>> divergence(torch.ones(3, 2), torch.zeros(3, 2)).item()
    1.0
    """
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()
