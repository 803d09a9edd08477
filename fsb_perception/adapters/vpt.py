"""Visual prompt tuning: the tower stays as it is, and extra tokens beside the picture's learn.

    shallow   [class | P | patches] -> block 0 -> block 1 -> ... -> block L-1 -> norm -> attn_pool
                       ^ learned

    deep      [class | P0 | patches] -> block 0 -> [class | P1 | patches] -> block 1 -> ...
                       ^ learned                            ^ learned; replaces what became of P0

    per task  n faces --branch--> [class | P of task t | patches], s n rows in one forward
                                                     --split--> a feature for each face and task

Jia et al., "Visual prompt tuning", ECCV 2022. P is (prompts, w), uniform in +-v at the beginning,
v = sqrt(6 / (3 patch^2 + w)), or N(0, 1). They go in after or before the norm in front of the
blocks, which PE-Core has and SigLIP2 lacks. Prompts have no position: rotary positions are only for
patches. The pooling attends to prompts as to patches. In a tower without a class token the prompts
come first.
With no prompts the tower's output is bit for bit that of the plain tower.

Shared prompts cost a few tokens. A set per task repeats the work of every block for each task.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from fsb_perception.adapters.base import AdapterConfig, freeze
from fsb_perception.options import option

if TYPE_CHECKING:
    from torch import nn


class VisualPrompts(AdapterConfig):
    """The number of prompts, the blocks that get them, and the tasks that share them."""

    merges: ClassVar[bool] = False
    undecayed: ClassVar[frozenset[str]] = frozenset({"prompt"})

    prompts: int = option(10, "learned tokens beside those of the picture", ge=0, le=1000)
    deep: bool = option(False, "fresh prompts before every block, in the place of the ones before")
    per_task: bool = option(False, "a set of prompts for each task, at the cost of a pass for each")
    place: str = option(
        "after-norm",
        "where the first prompts go in: after the norm in front of the blocks, or before it",
        choices=("after-norm", "before-norm"),
    )
    init: str = option(
        "patch",
        "values at the start: uniform within the bound of a patch, or N(0, 1)",
        choices=("patch", "normal"),
    )
    dropout: float = option(
        0.0, "share of the prompts' channels hidden while training", ge=0, le=0.9
    )

    def adapt(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """Return the frozen tower with prompts that train; a `TaskTower` if they are per task."""
        return self._prompted(freeze(tower), tasks)

    def rebuild(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """Adapt the tower: prompts are tokens, and none of them merges."""
        return self.adapt(tower, tasks)

    def _prompted(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        from fsb_perception.adapters.prefix import SharedPrompts, TaskPrompts, insert_prompts
        from fsb_perception.adapters.streams import Branch, Streams, TaskTower
        from fsb_perception.towers.parts import inner_tower

        inner, first = inner_tower(tower), self.place == "before-norm"
        blocks = inner.blocks
        sets = range(len(blocks) if self.deep else 1)
        if not self.per_task:
            shared = [SharedPrompts(tower, self.prompts, self.init) for _ in sets]
            insert_prompts(tower, shared, self.prompts, self.dropout, first)
            return tower
        streams = Streams(tasks)
        sources = [TaskPrompts(tower, self.prompts, streams, self.init) for _ in sets]
        insert_prompts(tower, sources, self.prompts, self.dropout, first)
        if first:
            inner.norm_pre = Branch(inner.norm_pre, streams)
        else:
            blocks[0] = Branch(blocks[0], streams)
        return TaskTower(tower, streams)
