"""Options of the pipeline from the node's own parameter file, so that a robot's can be judged.

    /**:
      face_attributes:
        ros__parameters: {bundle: nano, tracker: {max_coast: 0.5}}

Needs no ROS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fsb_perception.config import PerceptionConfig
from fsb_perception.options import flatten, walk
from fsb_perception.ros.node_config import NodeConfig, from_ros, is_of_ros

NODE = "face_attributes"
_KEY = "ros__parameters"


def is_parameter_file(options: Mapping[str, Any]) -> bool:
    """Whether options, by dotted name, were read from a parameter file of ROS."""
    return any(_KEY in name.split(".") for name in options)


def pipeline_options(tree: Mapping[str, Any], node: str = NODE) -> dict[str, Any]:
    """What a parameter file tells the pipeline, by dotted name; the later over the earlier.

    Args:
        tree: the file's content.
        node: name of the node; parameters of others are left out, and so are those that are about
            topics and not about faces.
    """
    ours = {option.name for option in walk(PerceptionConfig)}
    others = {option.name for option in walk(NodeConfig)} - ours
    found: dict[str, Any] = {}
    for parameters in _of_node(tree, node):
        found |= {name: from_ros(value) for name, value in flatten(parameters).items()}
    return {k: v for k, v in found.items() if k not in others and not is_of_ros(k)}


def _of_node(tree: Mapping[str, Any], node: str) -> Iterator[Mapping[str, Any]]:
    """The parameters under every key that may mean the node: ``/**``, its name, a namespace."""
    for name, inside in tree.items():
        if not isinstance(inside, Mapping):
            continue
        last = str(name).strip("/").split("/")[-1]
        if isinstance(inside.get(_KEY), Mapping) and last in ("**", "*", node):
            yield inside[_KEY]
        yield from _of_node({k: v for k, v in inside.items() if k != _KEY}, node)
