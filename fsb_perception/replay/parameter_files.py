"""Options of the pipeline from a parameter file of the node, so that a replay runs as the robot.

/**:
face_attributes:
ros__parameters: {bundle: nano, tracker: {max_coast: 0.5}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fsb_perception.config import PerceptionConfig
from fsb_perception.node_config import NodeConfig, is_ros_parameter, option_value
from fsb_perception.options import flatten, walk

NODE = "face_attributes"
_KEY = "ros__parameters"


def is_parameter_file(options: Mapping[str, object]) -> bool:
    """Return whether options by dotted name come from a ROS parameter file.

    >>> is_parameter_file({"/**.ros__parameters.bundle": "nano"}), is_parameter_file({"bundle": ""})
    (True, False)
    """
    return any(_KEY in name.split(".") for name in options)


def pipeline_options(tree: Mapping[str, object], node: str = NODE) -> dict[str, object]:
    """Return the pipeline's options in a parameter file, by dotted name; later entries win.

    >>> pipeline_options({"/**": {"ros__parameters": {"tracker": {"max_coast": 0.5}}}})
    {'tracker.max_coast': 0.5}

    Args:
        tree: content of the file.
        node: name of the node. Parameters of other nodes are left out, and so are those of this
            node that concern its topics and not the faces.
    """
    pipeline = {option.name for option in walk(PerceptionConfig)}
    node_only = {option.name for option in walk(NodeConfig)} - pipeline
    options: dict[str, object] = {}
    for parameters in _parameters_of(tree, node):
        options |= {name: option_value(value) for name, value in flatten(parameters).items()}
    return {
        name: value
        for name, value in options.items()
        if name not in node_only and not is_ros_parameter(name)
    }


def _parameters_of(tree: Mapping[str, object], node: str) -> Iterator[Mapping[str, object]]:
    """Yield the parameters under every key that may mean the node: ``/**``, its name, a path."""
    for name, inside in tree.items():
        if not isinstance(inside, Mapping):
            continue
        last = str(name).strip("/").split("/")[-1]
        if isinstance(inside.get(_KEY), Mapping) and last in ("**", "*", node):
            yield inside[_KEY]
        yield from _parameters_of({k: v for k, v in inside.items() if k != _KEY}, node)
