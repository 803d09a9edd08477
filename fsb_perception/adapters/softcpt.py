"""SoftCPT: one network writes the prompt of every task; both towers stay as they are.

    [SOS, v, "the age group of a person", EOS] -> [ text tower ] -> f_t -> P -> context of task t
                                                                                    |
                     [SOS, context of task t, "a teenager", EOS] -> [ text tower ] -> text feature
                                                                                    |
                       pixels -> [ image tower ] -> feature ------------------------+-> logits

    f_t   = TextEnc([SOS, v, description of t, EOS])   v: learned, one for all tasks
    ctx_t = reshape(P f_t)                             P: linear, or a perceptron; for all tasks
    w_c   = TextEnc([SOS, ctx_t, label c, ".", EOS])
    logit = exp(tau) cos(image feature, w_c)           tau: frozen, or learned, one a task

Ding et al., "Prompt tuning with soft context sharing for vision-language models", 2022, in its
form CATS: a context belongs to a task and is the same for all its classes. Tasks share through P
what they have in common. As published, P is a linear map that begins as N(0, 0.02), tau is frozen,
and P does not decay. P of a perceptron has fewer numbers. Without P each task's context learns
directly, from N(0, 0.02): CoOp, the form for a single task (Zhou et al., "Learning to prompt for
vision-language models", IJCV 2022). SigLIP2 has no SOS and reads the feature at the last token:
`PrefixedTexts` follows the tokenizer, the text tower does the rest.

v and P learn. The text features go into the bundle, so a robot runs no text tower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from fsb_perception.adapters.zero_shot import TextAdapter
from fsb_perception.options import option
from fsb_perception.tasks import TASKS
from fsb_perception.towers.prompts import check_lengths, check_phrases

if TYPE_CHECKING:
    from torch import nn

    from fsb_perception.adapters.soft_prompts import SoftPrompts
    from fsb_perception.towers.text import Tokenizer


class SoftCpt(TextAdapter):
    """The lengths of the learned texts and the size of the meta network."""

    undecayed: ClassVar[frozenset[str]] = frozenset({"task_context", "meta", "contexts"})
    earlier: ClassVar[Mapping[str, object]] = {"network": "mlp", "stop": False, "learn_scale": True}

    network: str = option(
        "linear",
        "the map from a task to its context: linear as published, a small perceptron, or none: "
        "the contexts learn directly (CoOp)",
        choices=("linear", "mlp", "none"),
    )
    context: int = option(
        16, "learned tokens before each label; PE-Core's text tower reads 32 in all", ge=5, le=25
    )
    task_context: int = option(4, "learned tokens before the description of a task", ge=1, le=16)
    hidden: int = option(128, "with mlp: width of the hidden layer", ge=1)
    stop: bool = option(True, "a full stop behind each label, as published")
    learn_scale: bool = option(False, "learn the factor of the cosine, which is else frozen at 100")

    def check_lengths(self, tasks: Sequence[str], tokenize: Tokenizer) -> None:
        """Refuse texts for which the learned tokens leave no room.

        Raises:
            OptionError: names task, label, text, its tokens and how many there may be.
        """
        for row in (TASKS[name] for name in tasks):
            check_phrases(row)
            if self.network != "none":
                check_lengths(tokenize, {"description": [row.description]}, row, self.task_context)
            phrases = zip(row.labels, row.phrases, strict=True)
            labels = {label: [f"{texts[0]}{'.' * self.stop}"] for label, texts in phrases}
            check_lengths(tokenize, labels, row, self.context)

    def text_heads(
        self, tasks: Sequence[str], text_tower: nn.Module, tokenize: Tokenizer
    ) -> tuple[SoftPrompts, dict[str, nn.Module]]:
        """Return the meta network, which all heads share, and a head for each task."""
        from fsb_perception.adapters.soft_prompts import SoftPromptHead, SoftPrompts

        self.check_lengths(tasks, tokenize)
        soft = SoftPrompts(
            text_tower,
            tokenize,
            tasks,
            self.context,
            self.task_context,
            self.network,
            self.hidden,
            self.stop,
        )
        return soft, {name: SoftPromptHead(soft, name, self.learn_scale) for name in tasks}
