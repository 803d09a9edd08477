"""The systems that are compared: each adapter with its usual settings and head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fsb_perception.adapters import adapter_config
from fsb_perception.adapters.base import AdapterConfig
from fsb_perception.registry import Registry


@dataclass(frozen=True)
class System:
    """One row of a comparison.

    >>> SYSTEMS["LoRA"].adapter(rank=8).model_dump()["rank"]
    8

    Attributes:
        settings: of the adapter, ``method`` among them.
        head: row of `fsb_perception.heads`.
    """

    settings: Mapping[str, object] = field(hash=False)
    head: str = "mlp"

    @property
    def low_rank(self) -> bool:
        """True if the adapter has a rank, which a comparison sets alike for all that have one."""
        return adapter_config(self.settings).takes_rank

    def adapter(self, rank: int | None = None) -> AdapterConfig:
        """Return the adapter's options, at ``rank`` if it takes one."""
        ranked = {"rank": rank} if self.low_rank and rank is not None else {}
        return adapter_config({**self.settings, **ranked})


def _system(method: str, head: str = "mlp", **settings: object) -> System:
    return System({"method": method, **settings}, head)


_THESIS: dict[str, object] = {"place": "before-norm", "init": "normal"}
SYSTEMS: Registry[System] = Registry(
    "system",
    {
        "zero-shot": _system("zero-shot", "text"),
        "linear probing": _system("linear"),
        "partial fine-tuning": _system("partial", blocks=4),
        "LoRA": _system("lora"),
        "rsLoRA": _system("lora", rslora=True),
        "PiSSA": _system("lora", init="pissa"),
        "OLoRA": _system("lora", init="olora"),
        "DoRA": _system("dora"),
        "MTLoRA matrix": _system("mtlora", mode="matrix", blocks=1),
        "MTLoRA matrixv2": _system("mtlora", mode="matrixv2", blocks=1),
        "MTLoRA exact": _system("mtlora", mode="exact", blocks=1),
        "MTLoRA thesis": _system("mtlora", blocks=1, probes=True, split_qkv=True, dora=True),
        "VPT": _system("vpt"),
        "VPT deep": _system("vpt", deep=True),
        "VPT task-specific": _system("vpt", per_task=True),
        "VPT deep, task-specific": _system("vpt", deep=True, per_task=True),
        "VPT, text": _system("vpt", "text"),
        "V2PT": _system("v2pt"),
        "SoftCPT-CATS": _system("softcpt", "text"),
        "CoOp": _system("softcpt", "text", network="none"),
        "VPT-SoftCPT": _system("vpt-softcpt", "text", **_THESIS),
        "VPT-SoftCPT task-specific": _system("vpt-softcpt", "text", per_task=True, **_THESIS),
        "V2PT-SoftCPT": _system("v2pt-softcpt", "text"),
        "full fine-tuning": _system("full"),
    },
)
"""The systems by the name that tables show."""
