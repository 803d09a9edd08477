"""The modules of SoftCPT (see `fsb_perception.adapters.softcpt`): learned tokens within texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from fsb_perception.adapters.base import freeze
from fsb_perception.heads import CosineHead, cosine_logits
from fsb_perception.tasks import TASKS
from fsb_perception.towers.prompts import text_start
from fsb_perception.towers.text import Tokenizer, encode_embeddings

if TYPE_CHECKING:
    from fsb_perception.towers.text import TextTower


class PrefixedTexts(nn.Module):
    """Texts with room for learned tokens before their first word.

        [SOS, word, word, EOS, 0, 0, 0, 0]  ->  [SOS, learned, learned, word, word, EOS, 0, 0]

    Args:
        tokenize: the text tower's.
        texts: n texts, so short that only filling is cut off at the end.
        room: the number of learned tokens before each text.
    """

    tokens: torch.Tensor

    def __init__(self, tokenize: Tokenizer, texts: Sequence[str], room: int) -> None:
        super().__init__()
        self.start = text_start(tokenize)
        before, words = tokenize(list(texts)).tensor_split([self.start], dim=1)
        # The place of a learned token needs an id that does not end the text: the first word's.
        places = words[:, :1].expand(-1, room)
        tokens = torch.cat([before, places, words[:, : words.shape[1] - room]], dim=1)
        self.register_buffer("tokens", tokens, persistent=False)

    def forward(self, tower: TextTower, learned: torch.Tensor) -> torch.Tensor:
        """Return text features (n, width), not normalised, with ``learned`` (room, tower width)."""
        embedded = tower.token_embedding(self.tokens)
        before, _, after = embedded.tensor_split([self.start, self.start + len(learned)], dim=1)
        rows = torch.cat([before, learned.expand(len(embedded), -1, -1), after], dim=1)
        return encode_embeddings(tower, rows, self.tokens)


class SoftPrompts(nn.Module):
    """The contexts of all tasks, what makes them, and the frozen text tower behind them.

    Published values at the start: N(0, 0.02) for contexts and for the linear map. The perceptron's
    contexts begin about as long as the tokens of the text tower's own table.

    Args:
        tower: of `fsb_perception.towers.text.build_text_tower`, loaded; it is frozen in place.
        tokenize: for the same backbone.
        tasks: names; their texts fit (`SoftCpt.check_lengths`).
        context: learned tokens before a label.
        task_context: learned tokens before a task's description.
        network: "linear", "mlp", or "none" for contexts that learn directly.
        hidden: width of the perceptron's hidden layer.
        stop: a full stop follows each label.
    """

    task_context: nn.Parameter

    def __init__(
        self,
        tower: nn.Module,
        tokenize: Tokenizer,
        tasks: Sequence[str],
        context: int,
        task_context: int,
        network: str,
        hidden: int,
        stop: bool,
    ) -> None:
        super().__init__()
        rows = [TASKS[name] for name in tasks]
        self.tower = cast("TextTower", freeze(tower).eval())
        self.labels = nn.ModuleDict(
            {
                row.name: PrefixedTexts(tokenize, short_phrases(row.phrases, stop), context)
                for row in rows
            }
        )
        table = self.tower.token_embedding.weight
        if network == "none":
            fresh = {row.name: _DEVIATION * torch.randn(context, table.shape[1]) for row in rows}
            self.contexts = nn.ParameterDict(
                {name: nn.Parameter(tokens.to(table)) for name, tokens in fresh.items()}
            )
            return
        self.descriptions = nn.ModuleDict(
            {row.name: PrefixedTexts(tokenize, [row.description], task_context) for row in rows}
        )
        self.task_context = nn.Parameter(
            torch.randn(task_context, table.shape[1]).to(table) * table.std()
        )
        shape = (context, table.shape[1])
        self.meta = _META[network](self.tower.output_dim, hidden, shape).to(table)
        if network == "mlp":
            self._scale(table.std(), tasks)

    @torch.no_grad()
    def _scale(self, length: torch.Tensor, tasks: Sequence[str]) -> None:
        """Give the contexts the standard deviation ``length``, whatever the features' scale is."""
        ratio = length / torch.stack([self.context(name) for name in tasks]).std()
        for parameter in self.meta[2].parameters():
            parameter.mul_(ratio)

    def context(self, name: str) -> torch.Tensor:
        """Return the learned tokens (context, tower width) of a task."""
        if hasattr(self, "contexts"):
            return self.contexts[name]
        return self.meta(self.descriptions[name](self.tower, self.task_context))[0]

    def features(self, name: str) -> torch.Tensor:
        """Return text features (classes, width) of a task's labels, not normalised."""
        return self.labels[name](self.tower, self.context(name))

    def train(self, mode: bool = True) -> SoftPrompts:
        """Set the mode; the text tower stays in evaluation."""
        super().train(mode)
        self.tower.eval()
        return self


def _linear(inputs: int, hidden: int, shape: tuple[int, int]) -> nn.Sequential:
    del hidden
    linear = nn.Linear(inputs, shape[0] * shape[1])
    nn.init.normal_(linear.weight, std=_DEVIATION)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(linear, nn.Unflatten(1, shape))


def _mlp(inputs: int, hidden: int, shape: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.GELU(),
        nn.Linear(hidden, shape[0] * shape[1]),
        nn.Unflatten(1, shape),
    )


_META = {"linear": _linear, "mlp": _mlp}
_DEVIATION = 0.02


def short_phrases(phrases: Sequence[Sequence[str]], stop: bool) -> list[str]:
    """Return the first phrase of each label, with a full stop behind it if ``stop``.

    >>> short_phrases([("a man", "a boy"), ("a woman",)], stop=True)
    ['a man.', 'a woman.']
    """
    return [f"{first}{'.' * stop}" for first, *_ in phrases]


class SoftPromptHead(nn.Module):
    """A `CosineHead` whose text features are still learning.

    Args:
        soft: shared by all heads. The encoder registers it once, as ``encoder.text``.
        name: of the task.
        learns: the factor of the cosine learns, and is not frozen.
        scale: that factor, at the start.
    """

    def __init__(
        self, soft: SoftPrompts, name: str, learns: bool = True, scale: float = 100.0
    ) -> None:
        super().__init__()
        # A tuple hides it from `nn.Module`, so it does not become a part of every head. A copy of
        # the encoder is complete all the same: deepcopy recognises an object it has copied before.
        self._soft = (soft,)
        self.name = name
        self.log_scale = nn.Parameter(torch.tensor(scale).log(), requires_grad=learns)

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Return logits (n, classes) of features (n, width)."""
        return cosine_logits(feature, self._soft[0].features(self.name), self.log_scale)

    @torch.no_grad()
    def frozen(self) -> CosineHead:
        """Return the head as it is deployed, with the same logits and no text tower."""
        head = CosineHead(self._soft[0].features(self.name).float())
        head.log_scale.copy_(self.log_scale)
        return head.to(self.log_scale.device)
