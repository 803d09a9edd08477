"""The nodes of the demo and of a robot's perception: one table for ``ros2 launch`` and for Python.

It imports neither ROS nor a large library, so that launch files read it fast.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fsb_perception.bundles import BUNDLE_HELP
from fsb_perception.errors import FsbError
from fsb_perception.registry import Registry, UnknownNameError

DEMO_NAMESPACE = "fsb_demo"  # of all topics of the demo, so that they meet no others


class LaunchArgumentError(FsbError, ValueError):
    """A value that a launch argument cannot take; the message names both and what to do."""


@dataclass(frozen=True)
class NodeSpec:
    """A node process: its program, name, parameters and remappings.

    >>> spec = NodeSpec("camera", "fsb_perception.ros.camera", parameters={"source": "0"})
    >>> " ".join(spec.command("python"))
    'python -m fsb_perception.ros.camera --ros-args -r __node:=camera -p source:="0"'

    Attributes:
        executable: its name for ``ros2 run fsb_perception``, and the name of the node.
        module: Python module with the same ``main``, where there is no ROS installation.
        namespace: relative to the root; empty for the root itself.
        parameters: by dotted name; bool, int, float, str or a list of one of these.
        params_file: YAML file, read before ``parameters``; empty for none.
        remappings: pairs of the node's name of a topic and the topic to use.
        lifecycle: the node is a lifecycle node.
        ends_all: when this node ends, all others end too.
        respawn: `ros2 launch` starts it again when it has ended.
    """

    executable: str
    module: str
    namespace: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    params_file: str = ""
    remappings: tuple[tuple[str, str], ...] = ()
    lifecycle: bool = False
    ends_all: bool = False
    respawn: bool = False

    @property
    def name(self) -> str:
        """Name of the node, that of its executable."""
        return self.executable

    @property
    def full_name(self) -> str:
        """Name with its namespace, as ROS shows it."""
        return "/".join(["", *filter(None, (self.namespace.strip("/"), self.name))])

    def command(self, python: str = sys.executable) -> list[str]:
        """Return the command line that starts this node as ``ros2 launch`` would."""
        words = [python, "-m", self.module, "--ros-args", "-r", f"__node:={self.name}"]
        if self.namespace:
            words += ["-r", f"__ns:=/{self.namespace.strip('/')}"]
        for topic, other in self.remappings:
            words += ["-r", f"{topic}:={other}"]
        if self.params_file:
            words += ["--params-file", self.params_file]
        for name, value in self.parameters.items():
            # ROS reads YAML. JSON is YAML that keeps the quotes of the string "0".
            words += ["-p", f"{name}:={json.dumps(value)}"]
        return words


@dataclass(frozen=True)
class Argument:
    """An argument of a launch file."""

    name: str
    default: str
    help: str


@dataclass(frozen=True)
class Graph:
    """Nodes that start together.

    Attributes:
        arguments: of its launch file.
        make: returns the nodes for the values of all arguments.
    """

    arguments: tuple[Argument, ...]
    make: Callable[[Mapping[str, str]], tuple[NodeSpec, ...]]

    def nodes(self, **values: str) -> tuple[NodeSpec, ...]:
        """Return the nodes for these values of arguments; the others keep their default.

        Raises:
            UnknownNameError: an argument that this graph does not have.
            LaunchArgumentError: a value that an argument cannot take.
        """
        defaults = {argument.name: argument.default for argument in self.arguments}
        for name in values:
            if name not in defaults:
                raise UnknownNameError("launch argument", name, defaults)
        return self.make(defaults | values)


def _demo(values: Mapping[str, str]) -> tuple[NodeSpec, ...]:
    camera = NodeSpec(
        "camera",
        "fsb_perception.ros.camera",
        namespace=DEMO_NAMESPACE,
        parameters={"source": values["source"]},
    )
    viewer = NodeSpec(
        "viewer",
        "fsb_perception.ros.viewer",
        namespace=DEMO_NAMESPACE,
        remappings=(("faces", "face_attributes/faces"),),
        ends_all=True,
    )
    nodes = (camera, _face_attributes(values, namespace=DEMO_NAMESPACE))
    return (*nodes, viewer) if _is_true("view", values["view"]) else nodes


def _perception(values: Mapping[str, str]) -> tuple[NodeSpec, ...]:
    cameras = [name.strip() for name in values["cameras"].split(",") if name.strip()]
    image = values["image"]
    if cameras and image != "image":
        raise LaunchArgumentError(
            f"got cameras {values['cameras']!r} and image {image!r}: several cameras publish on "
            "<name>/image; leave one of the two arguments out"
        )
    remappings = {
        "image": image,
        "image/compressed": f"{image}/compressed",
        "camera_info": values["camera_info"],
    }
    return (
        _face_attributes(
            values,
            namespace=values["namespace"],
            params_file=values["params_file"],
            parameters={"cameras": cameras} if cameras else {},
            respawn=True,
            remappings=tuple((a, b) for a, b in remappings.items() if a != b),
        ),
    )


def _face_attributes(
    values: Mapping[str, str], parameters: Mapping[str, Any] | None = None, **others: Any
) -> NodeSpec:
    """Return the node itself; an empty argument leaves its parameter to the YAML file."""
    given = {"bundle": values["bundle"], "engine.device": values["device"]}
    return NodeSpec(
        "face_attributes",
        "fsb_perception.ros.node",
        lifecycle=True,
        parameters={name: value for name, value in given.items() if value} | dict(parameters or {}),
        **others,
    )


def _is_true(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false", "1", "0", "yes", "no"}:
        raise LaunchArgumentError(f"{name}: got {text!r}, must be true or false")
    return text.lower() in {"true", "1", "yes"}


_BUNDLE = Argument("bundle", "", BUNDLE_HELP)
_DEVICE = Argument("device", "", "where the encoder runs: auto, cuda or cpu")

GRAPHS: Mapping[str, Graph] = Registry(
    "graph",
    {
        "demo": Graph(
            (
                Argument(
                    "source", "sample", "sample, webcam, a number, a device, a file or a folder"
                ),
                _BUNDLE,
                _DEVICE,
                Argument("view", "true", "open a window with the annotated picture"),
            ),
            _demo,
        ),
        "perception": Graph(
            (
                Argument("namespace", "", "namespace of the node"),
                Argument("image", "image", "topic of the camera's images; /compressed is added"),
                Argument("camera_info", "camera_info", "topic of the camera's calibration"),
                Argument(
                    "cameras", "", "names of several cameras, with commas, in place of `image`"
                ),
                Argument(
                    "params_file", "", "YAML file of parameters; config/perception.yaml lists all"
                ),
                _BUNDLE,
                _DEVICE,
            ),
            _perception,
        ),
    },
)
