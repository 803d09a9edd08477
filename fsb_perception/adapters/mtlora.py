"""MTLoRA: low-rank differences that all tasks share, and in the last layers one for each task.

    pixels -> blocks 0 .. L-k-1 -> branch -> blocks L-k .. L-1 -> attn_pool -> one feature a task
              shared differences             shared ones and one a task

    x ---+--> [ W frozen ] --+--------------(+)--> y     the stream of all tasks
         |                   |               ^
         +--> A ---> B -- s -|---------------+
                             v  from here in mode matrix, from y in matrixv2
    x_t ----> A_t -> B_t -- s_t -----> (+) ------> y_t   the stream of task t, one for each

Agiza, Neseem and Reda, "MTLoRA: a low-rank adaptation approach for efficient multi-task learning",
CVPR 2024. In front of the branch, and in the shared stream behind it:

    y   = W x + s B A x                            s = alpha / rank; A Kaiming, B zero

Behind the branch every task has a stream of its own, x_t; at the branch it equals x:

    matrix     y_t = W x + s_t B_t A_t x_t             as in the paper's code
    matrixv2   y_t = W x + s B A x + s_t B_t A_t x_t   the shared difference reaches the tasks too
    exact      y_t = W x_t + s B A x_t + s_t B_t A_t x_t     no shared stream: each task is a LoRA

The first two apply W once, to the shared stream, for any number of tasks; exact applies it once for
each task. Norms, attention and the projection see every stream. In the first two, a task's addition
travels on only by residuals and by the task's own low-rank parts, and the pooling has no residual:
while its B_t are zero, the task adapters of the blocks get no gradient. They learn from the third
step on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from fsb_perception.adapters.base import AdapterConfig, freeze
from fsb_perception.adapters.lora import TARGETS_HELP, matched_layers
from fsb_perception.adapters.partial import last_blocks
from fsb_perception.options import OptionError, option
from fsb_perception.towers.backbones import Backbone

if TYPE_CHECKING:
    from torch import nn

    from fsb_perception.adapters.streams import Streams, TaskTower


class Mtlora(AdapterConfig):
    """Shared low-rank adapters everywhere, and one for each task in the last layers."""

    merges: ClassVar[bool] = False  # only in part: the streams behind the branch keep their cost
    takes_rank: ClassVar[bool] = True
    faster: ClassVar[frozenset[str]] = frozenset({"lora_b", "task_b"})

    rank: int = option(64, "columns of the shared A and B", ge=1)
    task_rank: int = option(0, "columns of each task's A and B; 0 takes rank", ge=0)
    alpha: float = option(0.0, "scale of the shared difference, over rank; 0 takes rank", ge=0)
    task_alpha: float = option(
        0.0, "scale of each task's difference, over its rank; 0 takes that", ge=0
    )
    mode: str = option(
        "matrix",
        "what a task's layer adds its difference to: W x of the shared stream, the same with the "
        "shared difference, or its own stream",
        choices=("matrix", "matrixv2", "exact"),
    )
    blocks: int = option(
        1, "last blocks with an adapter for each task, beside the pooling", ge=0, le=64
    )
    unfold: bool = option(
        True,
        "deploy mode exact with a whole matrix for each task behind the branch, which is faster "
        "than low-rank differences but larger",
    )
    targets: str = option("", TARGETS_HELP)

    def check(self, row: Backbone, tasks: Sequence[str]) -> None:
        """Refuse an empty list of tasks; any backbone will do."""
        del row
        _require_tasks(tasks)

    def for_backbone(self, row: Backbone) -> Mtlora:
        """Return these options with the backbone's own targets if ``targets`` is empty."""
        return self.model_copy(update={"targets": self.targets or row.adapter_targets})

    def adapt(self, tower: nn.Module, tasks: Sequence[str]) -> TaskTower:
        """Return the tower with the adapters in it; of its parameters only they train."""
        from fsb_perception.adapters.streams import Branch, Streams, TaskTower

        _require_tasks(tasks)
        branch = self._branch(tower)
        streams = Streams(tasks, shared=self.mode != "exact")
        self._adapt_layers(freeze(tower), branch, streams)
        tower.set_submodule(branch, Branch(tower.get_submodule(branch), streams))
        return TaskTower(tower, streams)

    def changes(self, part: nn.Module) -> bool:
        """Return whether a part learns, or branches the batch into a copy for each task."""
        from fsb_perception.adapters.streams import Branch

        return isinstance(part, Branch) or super().changes(part)

    def merge(self, tower: nn.Module) -> nn.Module:
        """Add the differences to W where all its readers read the same sum.

        In front of the branch all differences merge. Behind it the shared ones merge except in mode
        matrix, and those of the tasks merge in mode exact with ``unfold``.
        """
        from fsb_perception.adapters.multitask_linear import MultitaskLinear

        for name, layer in list(tower.named_modules()):
            if isinstance(layer, MultitaskLinear):
                tower.set_submodule(name, layer.merged(self.unfold))
        return tower

    def rebuild(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """Adapt the tower, then merge: fresh differences are zero."""
        return self.merge(self.adapt(tower, tasks))

    def _branch(self, tower: nn.Module) -> str:
        """Return the name of the first module that tasks do not share."""
        first = next(iter(last_blocks(tower, self.blocks)), tower.get_submodule("attn_pool"))
        return next(name for name, module in tower.named_modules() if module is first)

    def _adapt_layers(self, tower: nn.Module, branch: str, streams: Streams) -> None:
        from fsb_perception.adapters.multitask_linear import LowRank, MultitaskLinear

        shared = LowRank(self.rank, (self.alpha or self.rank) / self.rank)
        rank = self.task_rank or self.rank
        own = LowRank(rank, (self.task_alpha or rank) / rank)
        apart = self.mode == "matrix"
        front, behind = _around(tower, matched_layers(tower, self.targets), branch)
        if not behind:
            raise OptionError(
                f"targets: {self.targets!r} matches no layer from {branch} on, so tasks would not "
                f"differ; it matches {', '.join(front[:4])}"
            )
        for name in front:
            layer = MultitaskLinear(_linear(tower, name), streams, shared)
            tower.set_submodule(name, layer)
        unread = _unread(behind) if apart else ()
        for name in behind:
            common = None if name in unread else shared
            layer = MultitaskLinear(_linear(tower, name), streams, common, own, apart)
            tower.set_submodule(name, layer)


def _require_tasks(tasks: Sequence[str]) -> None:
    if not tasks:
        raise OptionError("tasks: got none, MTLoRA adapts the tower to each: name one or more")


def _linear(tower: nn.Module, name: str) -> nn.Linear:
    return cast("nn.Linear", tower.get_submodule(name))


def _around(tower: nn.Module, layers: Sequence[str], branch: str) -> tuple[list[str], list[str]]:
    """Divide ``layers`` into those in front of the module ``branch`` and those in or behind it.

    Vision transformers register their parts in the order in which they call them.
    """
    order = [name for name, _ in tower.named_modules()]
    start = order.index(branch)
    front = [name for name in layers if order.index(name) < start]
    return front, [name for name in layers if name not in front]


def _unread(behind: Sequence[str]) -> set[str]:
    """Return the layers whose shared difference reaches no task, and never learns, in mode matrix.

    A task reads from the shared stream only W x; behind the last layer nothing reads the stream.
    """
    # The pooling makes its query and its keys side by side: neither reads the other.
    return {behind[-1], "attn_pool.q"} if behind[-1] == "attn_pool.kv" else {behind[-1]}
