"""The option tree as ROS parameters.

    python -m fsb_perception.ros.parameters > config/perception.yaml

writes every parameter of the node with its meaning, unit and bounds.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, TypeVar

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from fsb_perception.options import Option, Options, build, walk
from fsb_perception.registry import UnknownNameError
from fsb_perception.ros.node_config import NodeConfig, from_ros, is_of_ros

_NO_BOUND = {int: 2**63 - 1, float: 1.7e308}

OptionsT = TypeVar("OptionsT", bound=Options)


def declare_options(node: Node, model: type[OptionsT]) -> OptionsT:
    """Declare every option of ``model`` as a parameter and read the tree back.

    The node should be made with ``automatically_declare_parameters_from_overrides=True``: then a
    parameter that is set from outside but unknown is refused here, and not silently ignored.

    Raises:
        UnknownNameError: a parameter was set that is no option.
        OptionError: a value is out of bounds or of the wrong type.
    """
    options = {item.name: item for item in walk(model)}
    given = {name: p.value for name, p in node.get_parameters_by_prefix("").items()}
    given = {name: value for name, value in given.items() if not is_of_ros(name)}
    for name in given:
        if name not in options:
            raise UnknownNameError("parameter", name, options)
    values = {name: given.get(name, item.default) for name, item in options.items()}
    config = build(model, {name: from_ros(values[name]) for name in options})
    for name, item in options.items():
        if name in given:
            node.undeclare_parameter(name)  # it was declared without a description
        node.declare_parameter(name, _to_ros(values[name]), descriptor(item), ignore_override=True)
    return config


def current(node: Node, model: type[OptionsT], changed: dict[str, Any]) -> OptionsT:
    """The tree as the node's parameters have it, with ``changed`` over them."""
    values = {item.name: node.get_parameter(item.name).value for item in walk(model)}
    return build(model, {name: from_ros(value) for name, value in (values | changed).items()})


def descriptor(item: Option) -> ParameterDescriptor:
    """What ``ros2 param describe`` shows of an option."""
    unit = f" [{item.unit}]" if item.unit else ""
    result = ParameterDescriptor(
        name=item.name,
        description=item.help + unit,
        additional_constraints=f"one of {', '.join(item.choices)}" if item.choices else "",
        read_only=not item.live,
        # An integer is good enough for a float; the option tree checks every value itself.
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


def _to_ros(value: Any) -> Any:
    # An empty list has no type for ROS: one empty text stands for it.
    return (list(value) or [""]) if isinstance(value, (tuple, list)) else value


def as_yaml(model: type[Options], node_name: str) -> str:
    """A parameter file with every option at its default, each with what it means."""
    lines = [
        "# Every parameter of the node at its default. Written from the option tree by",
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
    value = yaml.safe_dump(_to_ros(item.default), default_flow_style=True).split("\n")[0]
    yield f"{indent}{leaf}: {value}"


if __name__ == "__main__":
    import sys

    sys.stdout.write(as_yaml(NodeConfig, "face_attributes"))
