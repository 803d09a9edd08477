"""Turns a `Graph` into what ``ros2 launch`` runs. Needs the launch of a ROS installation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsb_perception.ros import environment
from fsb_perception.ros.launching.graph import GRAPHS, Argument, NodeSpec
from fsb_perception.ros.launching.programs import PROGRAMS
from fsb_perception.ros.window import display_shortage


def describe(name: str) -> Any:
    """The launch description of the graph called ``name``, with its arguments."""
    from launch.actions import OpaqueFunction

    from launch import LaunchDescription  # type: ignore[attr-defined]  # our folder launch/ hides it

    graph = GRAPHS[name]

    def start(context: Any) -> list[Any]:
        names = [argument.name for argument in graph.arguments]
        nodes = graph.nodes(**{name: context.launch_configurations[name] for name in names})
        shown, note = _without_window(nodes)
        return [*note, *_transport(len(shown)), *map(action, shown)]

    return LaunchDescription([*_declared(graph.arguments), OpaqueFunction(function=start)])


def describe_program(name: str) -> Any:
    """The launch description of the program called ``name``; the launch ends with it."""
    from launch.actions import ExecuteProcess, OpaqueFunction, Shutdown

    from launch import LaunchDescription  # type: ignore[attr-defined]  # as above

    program = PROGRAMS[name]

    def start(context: Any) -> list[Any]:
        names = [argument.name for argument in program.arguments]
        words = program.make({name: context.launch_configurations[name] for name in names})
        command = [_installed(program.executable), *words]
        return [ExecuteProcess(cmd=command, output="screen", on_exit=Shutdown())]

    return LaunchDescription([*_declared(program.arguments), OpaqueFunction(function=start)])


def _declared(arguments: Sequence[Argument]) -> list[Any]:
    from launch.actions import DeclareLaunchArgument

    return [
        DeclareLaunchArgument(
            argument.name, default_value=argument.default, description=argument.help
        )
        for argument in arguments
    ]


def _installed(executable: str) -> str:
    """Path of a program of this package."""
    from ament_index_python.packages import get_package_prefix

    prefix = Path(get_package_prefix("fsb_perception"))
    return str(prefix / "lib" / "fsb_perception" / executable)


def _without_window(nodes: tuple[NodeSpec, ...]) -> tuple[tuple[NodeSpec, ...], list[Any]]:
    """The nodes, less the viewer where there is no display: its end would end them all."""
    from launch.actions import LogInfo

    shortage = display_shortage() if any(spec.executable == "viewer" for spec in nodes) else ""
    if not shortage:
        return nodes, []
    note = LogInfo(msg=f"No window: {shortage}. The attributes are published all the same.")
    return tuple(spec for spec in nodes if spec.executable != "viewer"), [note]


def action(spec: NodeSpec) -> Any:
    """The launch action that starts ``spec``."""
    from launch.actions import Shutdown
    from launch_ros.actions import LifecycleNode, Node

    kind = LifecycleNode if spec.lifecycle else Node
    parameters: list[Any] = [spec.params_file] if spec.params_file else []
    return kind(
        package="fsb_perception",
        executable=spec.executable,
        name=spec.name,
        namespace=spec.namespace,
        parameters=[*parameters, _typed(spec)],
        remappings=list(spec.remappings),
        output="screen",
        **({"on_exit": Shutdown()} if spec.ends_all else {}),
    )


def _typed(spec: NodeSpec) -> dict[str, Any]:
    """Parameters that keep their type: launch would read the text "0" as a number."""
    from launch_ros.parameter_descriptions import ParameterValue

    return {
        name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
        for name, value in spec.parameters.items()
    }


def _transport(processes: int) -> list[Any]:
    """The shared-memory profile for the nodes, or a line in the log why it is left out."""
    from launch.actions import LogInfo, SetEnvironmentVariable

    variables, note = environment.transport(os.environ, processes)
    set_ = [SetEnvironmentVariable(name, value) for name, value in variables.items()]
    return [*set_, LogInfo(msg=note)] if note else set_
