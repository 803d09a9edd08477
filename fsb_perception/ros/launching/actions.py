"""The launch descriptions of ``launch/*.launch.py``; they need the launch of a ROS installation."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fsb_perception.ros import environment
from fsb_perception.ros.launching import replay
from fsb_perception.ros.launching.graph import GRAPHS, Argument, NodeSpec
from fsb_perception.ros.window import display_shortage

_RESPAWN_DELAY = 5.0  # s: a node that cannot start must not fill the log


def describe(name: str) -> Any:
    """Return the launch description of a graph of `GRAPHS`, with its arguments."""
    graph = GRAPHS[name]

    def start(values: Mapping[str, str]) -> list[Any]:
        nodes, note = _without_window(graph.nodes(**values))
        return [*note, *_transport(len(nodes)), *map(node_action, nodes)]

    return _description(graph.arguments, start)


def describe_replay() -> Any:
    """Return the launch description of ``fsb replay run``; the launch ends with the program."""

    def start(values: Mapping[str, str]) -> list[Any]:
        from launch.actions import ExecuteProcess, Shutdown

        arguments = replay.fsb_arguments(values)
        command = [_installed("fsb"), *arguments]
        return [ExecuteProcess(cmd=command, output="screen", on_exit=Shutdown())]

    return _description(replay.ARGUMENTS, start)


def _description(
    arguments: Sequence[Argument], start: Callable[[Mapping[str, str]], list[Any]]
) -> Any:
    """Return a description that declares the arguments, and starts the actions for their values."""
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    from launch import LaunchDescription  # type: ignore[attr-defined]  # our folder launch/ hides it

    def start_in(context: Any) -> list[Any]:
        return start({a.name: context.launch_configurations[a.name] for a in arguments})

    declared = [
        DeclareLaunchArgument(
            argument.name, default_value=argument.default, description=argument.help
        )
        for argument in arguments
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start_in)])


def _installed(executable: str) -> str:
    """Return the path of a program of this package."""
    from ament_index_python.packages import get_package_prefix

    prefix = Path(get_package_prefix("fsb_perception"))
    return str(prefix / "lib" / "fsb_perception" / executable)


def _without_window(nodes: tuple[NodeSpec, ...]) -> tuple[tuple[NodeSpec, ...], list[Any]]:
    """Return the nodes, without the viewer if there is no display: its end would end them all."""
    from launch.actions import LogInfo

    shortage = display_shortage() if any(spec.executable == "viewer" for spec in nodes) else ""
    if not shortage:
        return nodes, []
    note = LogInfo(msg=f"No window: {shortage}. The attributes are published all the same.")
    return tuple(spec for spec in nodes if spec.executable != "viewer"), [note]


def node_action(spec: NodeSpec) -> Any:
    """Return the launch action that starts a node."""
    from launch.actions import Shutdown
    from launch_ros.actions import LifecycleNode, Node

    action = LifecycleNode if spec.lifecycle else Node
    parameters: list[Any] = [spec.params_file] if spec.params_file else []
    return action(
        package="fsb_perception",
        executable=spec.executable,
        name=spec.name,
        namespace=spec.namespace,
        parameters=[*parameters, _typed(spec.parameters)],
        remappings=list(spec.remappings),
        output="screen",
        **({"respawn": True, "respawn_delay": _RESPAWN_DELAY} if spec.respawn else {}),
        **({"on_exit": Shutdown()} if spec.ends_all else {}),
    )


def _typed(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters that keep their type: launch would read the string "0" as a number."""
    from launch_ros.parameter_descriptions import ParameterValue

    return {
        name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
        for name, value in parameters.items()
    }


def _transport(processes: int) -> list[Any]:
    """Return actions that set the shared-memory profile, or log why it is left out."""
    from launch.actions import LogInfo, SetEnvironmentVariable

    variables, note = environment.transport(os.environ, processes)
    actions: list[Any] = [SetEnvironmentVariable(name, value) for name, value in variables.items()]
    return [*actions, LogInfo(msg=note)] if note else actions
