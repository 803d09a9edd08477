"""Ways to adapt a tower, by name: one file a method, each opening with its paper and formula.

A method is a frozen set of options that knows three things: how to prepare a tower for training,
how to turn the trained tower into the one that a robot runs, and how to build that one's structure
again from nothing, so that a bundle's weights can be loaded into it.

    recipe --adapt--> training tower --merge--> deployed tower --save--> bundle
    manifest --rebuild--> the deployed tower's structure <--load-- bundle
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fsb_perception.adapters.base import AdapterConfig
from fsb_perception.adapters.full import FullFineTuning
from fsb_perception.adapters.linear import LinearProbing
from fsb_perception.adapters.lora import Dora, Lora
from fsb_perception.adapters.mtlora import Mtlora
from fsb_perception.adapters.partial import PartialFineTuning
from fsb_perception.adapters.softcpt import SoftCpt
from fsb_perception.adapters.v2pt import VariationalVisualPrompts
from fsb_perception.adapters.vpt import VisualPrompts
from fsb_perception.adapters.zero_shot import ZeroShot
from fsb_perception.options import OptionError, build
from fsb_perception.registry import Registry

# Their modules import torch and peft only where they build.
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
    },
)


def adapter_config(settings: Mapping[str, Any]) -> AdapterConfig:
    """The options of a method from ``{"method": name, option: value, ...}``.

    Raises:
        UnknownNameError: a method or an option that is not there; names the nearest.
        OptionError: a value out of bounds, or no method at all.
    """
    if not isinstance(settings.get("method"), str):
        raise OptionError(f"adapter: name a method; there are {', '.join(sorted(ADAPTERS))}")
    options = {name: value for name, value in settings.items() if name != "method"}
    return build(ADAPTERS[settings["method"]], options)


def adapter_settings(config: AdapterConfig) -> dict[str, Any]:
    """What `adapter_config` takes to make ``config`` again: method and every option, as JSON."""
    return {"method": method_name(config), **config.model_dump(mode="json")}


def method_name(config: AdapterConfig) -> str:
    """The name under which the method of ``config`` is registered."""
    return next(name for name, kind in ADAPTERS.items() if kind is type(config))
