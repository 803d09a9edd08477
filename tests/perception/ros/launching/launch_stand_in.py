"""As much of launch and launch_ros as our launch files use, for machines without ROS's launch.

Each action only remembers what it was given. The real ones are used by the same tests where they
can be imported.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest


class Recorded:
    """An action: what it was made with."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs


class LaunchDescription(Recorded):
    @property
    def entities(self) -> list[Any]:
        return self.args[0]


class DeclareLaunchArgument(Recorded): ...


class OpaqueFunction(Recorded): ...


class SetEnvironmentVariable(Recorded): ...


class LogInfo(Recorded): ...


class Shutdown(Recorded): ...


class ExecuteProcess(Recorded): ...


class Node(Recorded):
    def __init__(self, *, package: str, executable: str, **kwargs: Any) -> None:
        super().__init__(package=package, executable=executable, **kwargs)


class LifecycleNode(Node):
    def __init__(self, *, name: str, namespace: str, **kwargs: Any) -> None:
        super().__init__(name=name, namespace=namespace, **kwargs)


class ParameterValue(Recorded): ...


_MODULES = {
    "launch": (LaunchDescription,),
    "launch.actions": (
        DeclareLaunchArgument,
        ExecuteProcess,
        LogInfo,
        OpaqueFunction,
        SetEnvironmentVariable,
        Shutdown,
    ),
    "launch_ros": (),
    "launch_ros.actions": (Node, LifecycleNode),
    "launch_ros.parameter_descriptions": (ParameterValue,),
}


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``import launch`` and ``import launch_ros`` find the stand-ins for this test."""
    for name, members in _MODULES.items():
        module = ModuleType(name)
        for member in members:
            setattr(module, member.__name__, member)
        monkeypatch.setitem(sys.modules, name, module)
