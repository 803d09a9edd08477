"""The adapters by name: one file for each, which opens with its diagram, its paper and its formula.

An adapter is a frozen set of options. It prepares a tower for training, turns the trained tower
into the one that a robot runs, and rebuilds the structure of that one for a bundle's weights. The
interface is `fsb_perception.adapters.base.AdapterConfig`; a new adapter is a subclass of it in a
file of its own, and a row of `ADAPTERS`.
"""

from __future__ import annotations

from collections.abc import Mapping

from fsb_perception.adapters.base import AdapterConfig
from fsb_perception.adapters.full import FullFineTuning
from fsb_perception.adapters.linear import LinearProbing
from fsb_perception.adapters.lora import Dora, Lora
from fsb_perception.adapters.mtlora import Mtlora
from fsb_perception.adapters.partial import PartialFineTuning
from fsb_perception.adapters.prompts_together import (
    VariationalAndTextPrompts,
    VisualAndTextPrompts,
)
from fsb_perception.adapters.softcpt import SoftCpt
from fsb_perception.adapters.v2pt import VariationalVisualPrompts
from fsb_perception.adapters.vpt import VisualPrompts
from fsb_perception.adapters.zero_shot import ZeroShot
from fsb_perception.options import OptionError, build, flatten
from fsb_perception.registry import Registry

# The modules import torch and peft only where they build.
ADAPTERS: Registry[type[AdapterConfig]] = Registry(
    "adapter",
    {
        "zero-shot": ZeroShot,
        "linear": LinearProbing,
        "partial": PartialFineTuning,
        "full": FullFineTuning,
        "lora": Lora,
        "dora": Dora,
        "mtlora": Mtlora,
        "softcpt": SoftCpt,
        "vpt": VisualPrompts,
        "v2pt": VariationalVisualPrompts,
        "vpt-softcpt": VisualAndTextPrompts,
        "v2pt-softcpt": VariationalAndTextPrompts,
    },
)


def adapter_config(settings: Mapping[str, object]) -> AdapterConfig:
    """Return the options of an adapter from ``{"method": name, option: value, ...}``.

    >>> adapter_config({"method": "lora", "rank": 8}).rank
    8

    Raises:
        UnknownNameError: an unknown adapter or option; the message names the nearest.
        OptionError: a value out of bounds, or no method at all.
    """
    method = settings.get("method")
    if not isinstance(method, str):
        raise OptionError(f"adapter: name a method; there are {', '.join(sorted(ADAPTERS))}")
    options = {name: value for name, value in settings.items() if name != "method"}
    return build(ADAPTERS[method], flatten(options))


def stored_adapter(settings: Mapping[str, object]) -> AdapterConfig:
    """Return the options that a file means, which may be older than some of them.

    >>> stored_adapter({"method": "mtlora"}).pooling, adapter_config({"method": "mtlora"}).pooling
    ('mode', 'own')

    Raises:
        UnknownNameError, OptionError: as of `adapter_config`.
    """
    method = settings.get("method")
    earlier = ADAPTERS[method].earlier if isinstance(method, str) else {}
    return adapter_config({**earlier, **settings})


def adapter_settings(config: AdapterConfig) -> dict[str, object]:
    """Return the settings from which `adapter_config` makes ``config`` again, as JSON values."""
    return {"method": method_name(config), **config.model_dump(mode="json")}


def method_name(config: AdapterConfig) -> str:
    """Return the name of the row of `ADAPTERS` that ``config`` belongs to."""
    return next(name for name, kind in ADAPTERS.items() if kind is type(config))
