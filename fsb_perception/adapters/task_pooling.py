"""The attention pooling of MTLoRA, in which every task has a stream of its own.

tokens | shared | task 1 | task 2 |  ->  | task 1 | task 2 |  -> pooling -> a feature a task
                                            ^ probe 1  ^ probe 2, or the tower's own for all
"""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from fsb_perception.adapters.streams import Streams


class TaskPooling(nn.Module):
    """An attention pooling behind which there is no shared stream.

    Args:
        inner: timm's, with its query ``latent`` (1, queries, w).
        before: the streams that come in.
        probes: each task learns a query of its own, which begins as the tower's.
    """

    def __init__(self, inner: nn.Module, before: Streams, probes: bool) -> None:
        super().__init__()
        self.inner = inner
        latent = inner.get_parameter("latent")
        tasks = before.tasks if probes else ()
        self.probe = nn.ParameterDict(
            {task: nn.Parameter(latent.detach().clone()) for task in tasks}
        )
        self._before = before

    def forward(self, tokens: torch.Tensor, *rest: object, **named: object) -> torch.Tensor:
        """Return the pooled feature (tasks n, width) of tokens (count n, t, w)."""
        rows = self._before.split(tokens)
        faces = rows.shape[1]
        # To concatenate and not to cut off keeps the batch free where a tower is exported.
        own_rows = torch.cat(rows.unbind()[1:]) if self._before.shared else tokens
        inputs = (own_rows, *rest)
        if not self.probe:
            return self.inner(*inputs, **named)
        own = [self.probe[task].expand(faces, -1, -1) for task in self._before.active]
        return functional_call(self.inner, {"latent": torch.cat(own)}, inputs, dict(named))
