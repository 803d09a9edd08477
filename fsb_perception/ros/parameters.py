"""The option tree as ROS parameters.

    python -m fsb_perception.ros.parameters > config/perception.yaml

writes every parameter of the node with its meaning, bounds and unit.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from fsb_perception.node_config import NodeConfig, is_ros_parameter, option_value, parameter_value
from fsb_perception.options import Option, Options, build, walk
from fsb_perception.registry import UnknownNameError

_NO_BOUND = {int: 2**63 - 1, float: 1.7e308}

OptionsT = TypeVar("OptionsT", bound=Options)


def declare_options(node: Node, model: type[OptionsT]) -> OptionsT:
    """Declare every option of ``model`` as a parameter, and return the options as they are set.

    Make the node with ``automatically_declare_parameters_from_overrides=True``: then this function
    refuses an unknown parameter of a launch file, which ROS ignores silently.

    Raises:
        UnknownNameError: a parameter that is no option was set.
        OptionError: a value is out of bounds or of the wrong type.
    """
    options = {item.name: item for item in walk(model)}
    given = {name: p.value for name, p in node.get_parameters_by_prefix("").items()}
    given = {name: value for name, value in given.items() if not is_ros_parameter(name)}
    for name in given:
        if name not in options:
            raise UnknownNameError("parameter", name, options)
    values = {name: given.get(name, item.default) for name, item in options.items()}
    config = build(model, {name: option_value(values[name]) for name in options})
    for name, item in options.items():
        if name in given:  # declared already, without a description
            node.undeclare_parameter(name)
        node.declare_parameter(
            name, parameter_value(values[name]), descriptor(item), ignore_override=True
        )
    return config


def changed_options(node: Node, model: type[OptionsT], changed: Mapping[str, Any]) -> OptionsT:
    """Return the options as the node's parameters are set, with ``changed`` in place of some.

    Raises:
        OptionError: a changed value is out of bounds, or does not fit the others.
    """
    values = {item.name: node.get_parameter(item.name).value for item in walk(model)}
    values |= changed
    return build(model, {name: option_value(value) for name, value in values.items()})


def descriptor(item: Option) -> ParameterDescriptor:
    """Return the description of an option, as ``ros2 param describe`` shows it."""
    unit = f" [{item.unit}]" if item.unit else ""
    result = ParameterDescriptor(
        name=item.name,
        description=item.help + unit,
        additional_constraints=f"one of {', '.join(item.choices)}" if item.choices else "",
        read_only=not item.live,
        # ROS would refuse an integer where a float is declared; `build` checks every value.
        dynamic_typing=True,
    )
    if item.ge is not None or item.le is not None:
        limit = _NO_BOUND[item.type]
        low = item.type(-limit if item.ge is None else item.ge)
        high = item.type(limit if item.le is None else item.le)
        if item.type is int:
            result.integer_range = [IntegerRange(from_value=low, to_value=high, step=0)]
        else:
            result.floating_point_range = [
                FloatingPointRange(from_value=low, to_value=high, step=0.0)
            ]
    return result


def as_yaml(model: type[Options], node_name: str) -> str:
    """Return the text of a parameter file: every option at its default, with its meaning."""
    lines = [
        "# Every parameter of the node at its default. This file is generated from the options:",
        "#   python -m fsb_perception.ros.parameters",
        "/**:",
        f"  {node_name}:",
        "    ros__parameters:",
    ]
    group: tuple[str, ...] = ()
    for item in walk(model):
        *path, leaf = item.name.split(".")
        for depth, part in enumerate(path):
            if tuple(path[: depth + 1]) != group[: depth + 1]:
                lines.append(f"{_indent(depth)}{part}:")
        group = tuple(path)
        lines += _entry(item, leaf, _indent(len(path)))
    return "\n".join(lines) + "\n"


def _indent(depth: int) -> str:
    return "  " * (3 + depth)


def _entry(item: Option, leaf: str, indent: str) -> Iterator[str]:
    notes = [item.help[:1].upper() + item.help[1:]]
    if item.choices:
        notes.append(f"One of {', '.join(item.choices)}")
    if item.ge is not None or item.le is not None:
        low, high = ("" if end is None else f"{end:g}" for end in (item.ge, item.le))
        notes.append(f"{low} to {high} {item.unit}".strip())
    elif item.unit:
        notes.append(f"In {item.unit}")
    if item.live:
        notes.append("May be set while the node runs")
    for line in textwrap.wrap(". ".join(notes) + ".", 98 - len(indent)):
        yield f"{indent}# {line}"
    value = yaml.safe_dump(parameter_value(item.default), default_flow_style=True).split("\n")[0]
    yield f"{indent}{leaf}: {value}"


if __name__ == "__main__":
    import sys

    sys.stdout.write(as_yaml(NodeConfig, "face_attributes"))
