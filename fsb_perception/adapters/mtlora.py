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
    addition   y_t as in matrix; y = W x + LayerNorm(sum_t y_t), without A and B of its own

All but exact apply W once, to the shared stream, for any number of tasks; exact applies it once for
each task. Norms, attention and the projection see every stream. In addition a task's feature
depends on all tasks, and a fresh adapter changes the tower, as in the paper's code.

There a task's addition travels on only by residuals and by the task's own low-rank parts. The
attention pooling has no residual, so with ``pooling: mode`` the task adapters of the blocks hardly
learn. With ``pooling: own`` the shared stream ends in front of the pooling, and W of its layers is
applied to each task's stream: y_t = W x_t + s_t B_t A_t x_t, in matrixv2 and exact with s B A x_t.
Of its own the paper's backbone, a Swin Transformer, has no such pooling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

from pydantic import model_validator

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
    undecayed: ClassVar[frozenset[str]] = frozenset({"probe"})
    earlier: ClassVar[Mapping[str, object]] = {"pooling": "mode"}

    rank: int = option(64, "columns of the shared A and B", ge=1)
    task_rank: int = option(0, "columns of each task's A and B; 0 takes rank", ge=0)
    alpha: float = option(0.0, "scale of the shared difference, over rank; 0 takes rank", ge=0)
    task_alpha: float = option(
        0.0, "scale of each task's difference, over its rank; 0 takes that", ge=0
    )
    mode: str = option(
        "matrix",
        "what a task's layer adds its difference to: W x of the shared stream, the same with the "
        "shared difference, or its own stream; addition is matrix with tasks summed into the "
        "shared stream",
        choices=("matrix", "matrixv2", "exact", "addition"),
    )
    pooling: str = option(
        "own",
        "input of W in the pooling: each task's own stream, by which the blocks' task adapters "
        "learn, or as the mode says",
        choices=("own", "mode"),
    )
    probes: bool = option(False, "with pooling own: a learned query of the pooling for each task")
    blocks: int = option(
        1, "last blocks with an adapter for each task, beside the pooling", ge=0, le=64
    )
    unfold: bool = option(
        True,
        "deploy mode exact with a whole matrix for each task behind the branch, which is faster "
        "than low-rank differences but larger",
    )
    targets: str = option("", TARGETS_HELP)
    task_targets: str = option(
        "", "regular expression of those among targets that have an adapter for each task; all"
    )
    split_qkv: bool = option(False, "separate A and B for query, key and value of a joint matrix")
    dropout: float = option(0.0, "share of the input hidden from A while training", ge=0, le=0.9)
    dora: bool = option(False, "learn the length of each row in front of the branch, as DoRA does")
    norms: bool = option(False, "train the tower's layer norms too, as the paper's code does")
    stem: bool = option(False, "train patch embedding, positions and class token too, likewise")

    @model_validator(mode="after")
    def _check(self) -> Mtlora:
        if self.probes and self.pooling != "own":
            raise ValueError("probes: got true, which needs pooling=own: set that too")
        if self.dora and self.dropout:
            raise ValueError(
                f"dropout: got {self.dropout}, with dora it needs 0: the rows' lengths depend on it"
            )
        return self

    def check(self, row: Backbone, tasks: Sequence[str]) -> None:
        """Refuse an empty list of tasks; any backbone will do."""
        del row
        _require_tasks(tasks)

    def for_backbone(self, row: Backbone) -> Mtlora:
        """Return these options with the backbone's own targets if ``targets`` is empty."""
        return self.model_copy(update={"targets": self.targets or row.adapter_targets})

    def adapt(self, tower: nn.Module, tasks: Sequence[str]) -> TaskTower:
        """Return the tower with the adapters in it; of its parameters only they train."""
        from fsb_perception.adapters.streams import Branch, TaskTower
        from fsb_perception.adapters.task_pooling import TaskPooling

        _require_tasks(tasks)
        plan = self._plan(tower, tasks)
        self._free(freeze(tower))
        self._adapt_layers(tower, plan)
        if plan.pool is not plan.blocks or self.probes:
            pool = tower.get_submodule("attn_pool")
            tower.set_submodule("attn_pool", TaskPooling(pool, plan.blocks, self.probes))
        branched = Branch(tower.get_submodule(plan.branch), plan.blocks)
        tower.set_submodule(plan.branch, branched)
        return TaskTower(tower, plan.pool)

    def changes(self, part: nn.Module) -> bool:
        """Return whether a part learns, or branches the batch into a copy for each task."""
        from fsb_perception.adapters.streams import Branch

        return isinstance(part, Branch) or super().changes(part)

    def merge(self, tower: nn.Module) -> nn.Module:
        """Add the differences to W where all its readers read the same sum.

        In front of the branch all differences merge. Behind it the shared ones merge where all
        streams read them, and those of the tasks merge in mode exact with ``unfold``.
        """
        from fsb_perception.adapters.multitask_linear import MultitaskLinear

        for name, layer in list(tower.named_modules()):
            if isinstance(layer, MultitaskLinear):
                tower.set_submodule(name, layer.merged(self.unfold and self.mode == "exact"))
        return tower

    def rebuild(self, tower: nn.Module, tasks: Sequence[str]) -> nn.Module:
        """Adapt the tower, then merge: fresh differences are zero."""
        return self.merge(self.adapt(tower, tasks))

    def _branch(self, tower: nn.Module) -> str:
        """Return the name of the first module that tasks do not share."""
        first = next(iter(last_blocks(tower, self.blocks)), tower.get_submodule("attn_pool"))
        return next(name for name, module in tower.named_modules() if module is first)

    def _free(self, tower: nn.Module) -> None:
        """Let those parts of the frozen tower train that options name."""
        from torch import nn

        norms = [m for m in tower.modules() if isinstance(m, nn.LayerNorm)] if self.norms else []
        for norm in norms:
            norm.requires_grad_(True)
        if self.stem:
            tower.get_submodule("patch_embed").requires_grad_(True)
            for parameter in tower.parameters(recurse=False):
                parameter.requires_grad_(True)

    def _plan(self, tower: nn.Module, tasks: Sequence[str]) -> _Plan:
        """Divide the adapted layers; refuse targets by which tasks would not differ."""
        from fsb_perception.adapters.streams import Streams

        branch = self._branch(tower)
        layers = matched_layers(tower, self.targets)
        front, behind = _around(tower, layers, branch)
        own = set(matched_layers(tower, self.task_targets) if self.task_targets else layers)
        if not own.intersection(behind):
            chosen = self.task_targets or self.targets
            raise OptionError(
                f"targets: {chosen!r} matches no layer from {branch} on, so tasks would not "
                f"differ; it matches {', '.join((front or layers)[:4])}"
            )
        own_pool = self.pooling == "own"
        blocks, pool = _around(tower, behind, "attn_pool") if own_pool else (behind, [])
        shared = self.mode != "exact" and bool(own.intersection(blocks))
        streams = Streams(tasks, shared, together=self.mode == "addition")
        last = streams.without_shared() if shared and own_pool else streams
        return _Plan(branch, front, blocks, pool, frozenset(own), streams, last)

    def _adapt_layers(self, tower: nn.Module, plan: _Plan) -> None:
        from fsb_perception.adapters.multitask_linear import (
            LowRank,
            MultitaskLinear,
            RowLengthLinear,
        )

        shared = LowRank(self.rank, (self.alpha or self.rank) / self.rank)
        rank = self.task_rank or self.rank
        own = LowRank(rank, (self.task_alpha or rank) / rank)
        apart, normed = self.mode in ("matrix", "addition"), self.mode == "addition"
        unread = _unread([name for name in plan.in_blocks if name in plan.own]) if apart else set()

        def put(name: str, layer: MultitaskLinear) -> None:
            tower.set_submodule(name, layer)

        for name in plan.front:
            linear, parts = _linear(tower, name), self._parts(name)
            if self.dora:
                put(name, RowLengthLinear(linear, plan.blocks, shared, parts))
                continue
            put(name, MultitaskLinear(
                linear, plan.blocks, shared, parts=parts, dropout=self.dropout
            ))  # fmt: skip
        for name in (*plan.in_blocks, *plan.in_pool):
            for_all = name not in plan.own  # a layer of all streams alike
            pooled = name in plan.in_pool
            alone = not for_all and (name in unread or (apart and (pooled or normed)))
            put(name, MultitaskLinear(
                _linear(tower, name),
                plan.pool if pooled else plan.blocks,
                None if alone else shared,
                None if for_all else own,
                apart=apart and not for_all and not pooled,
                parts=self._parts(name),
                dropout=self.dropout,
                normed=normed and not for_all and not pooled and name not in unread,
            ))  # fmt: skip

    def _parts(self, name: str) -> int:
        """Return the number of matrices that a layer joins, if they have adapters of their own."""
        joint = {"qkv": 3, "kv": 2}
        return joint.get(name.rpartition(".")[2], 1) if self.split_qkv else 1


class _Plan(NamedTuple):
    """The layers that get adapters, by their place.

    Attributes:
        branch: the first module that tasks do not share.
        front: layers in front of it.
        in_blocks: layers behind it that have the mode's formula.
        in_pool: layers from the pooling on, where there is no shared stream.
        own: layers that have an adapter for each task, if they are behind the branch.
        blocks: streams behind the branch.
        pool: streams behind the pooling.
    """

    branch: str
    front: list[str]
    in_blocks: list[str]
    in_pool: list[str]
    own: frozenset[str]
    blocks: Streams
    pool: Streams


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
    if not behind:
        return set()
    # The pooling makes its query and its keys side by side: neither reads the other.
    return {behind[-1], "attn_pool.q"} if behind[-1] == "attn_pool.kv" else {behind[-1]}
