"""Visual prompt tuning: the tower stays as it is; tokens that nobody photographed learn.

    shallow   [class | P | patches] -> block 0 -> block 1 -> ... -> block L-1 -> norm -> attn_pool
                       ^ learned

    deep      [class | P0 | patches] -> block 0 -> [class | P1 | patches] -> block 1 -> ...
                       ^ learned                            ^ learned; what became of P0 goes out

    per task  n faces --branch--> [class | P of task t | patches], s n rows in one forward
                                                     --split--> a feature for each face and task

Jia et al., "Visual prompt tuning", ECCV 2022. P is (prompts, w), uniform in +-v at the beginning,
v = sqrt(6 / (3 patch^2 + w)). Prompts have no position: rotary ones are for patches alone. In the
towers here the pooling attends to prompts as to patches; where there is no class token they are
first. With no prompts the tower is what it was, to the bit.

Shared prompts cost a few tokens. A set per task does every block's work once a task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fsb_perception.adapters.base import AdapterConfig, freeze
from fsb_perception.options import option

if TYPE_CHECKING:
    from torch import nn


class VisualPrompts(AdapterConfig):
    """Where prompts go, and whose they are."""

    merges: ClassVar[bool] = False
    undecayed: ClassVar[frozenset[str]] = frozenset({"prompt"})

    prompts: int = option(10, "learned tokens beside those of the picture", ge=0, le=1000)
    deep: bool = option(False, "fresh prompts before every block, in the place of the ones before")
    per_task: bool = option(False, "a set of prompts for each task, at the cost of a pass for each")
    dropout: float = option(
        0.0, "share of the prompts' channels hidden while training", ge=0, le=0.9
    )

    def adapt(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """The frozen tower with prompts in it, which train; a `TaskTower` if they are per task."""
        return self._prompted(freeze(tower), tasks)

    def rebuild(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """As `adapt`: prompts are tokens, and nothing of them merges."""
        return self.adapt(tower, tasks)

    def _prompted(self, tower: Any, tasks: Sequence[str]) -> nn.Module:
        from fsb_perception.adapters.prefix import SharedPrompts, TaskPrompts, insert_prompts
        from fsb_perception.adapters.streams import Branch, Streams, TaskTower

        sets = range(len(tower.blocks) if self.deep else 1)
        if not self.per_task:
            shared = [SharedPrompts(tower, self.prompts) for _ in sets]
            insert_prompts(tower, shared, self.prompts, self.dropout)
            return tower
        streams = Streams(tasks)
        sources = [TaskPrompts(tower, self.prompts, streams) for _ in sets]
        insert_prompts(tower, sources, self.prompts, self.dropout)
        tower.blocks[0] = Branch(tower.blocks[0], streams)
        return TaskTower(tower, streams)
