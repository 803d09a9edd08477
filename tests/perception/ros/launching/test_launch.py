"""The launch files and the Python demo start one and the same table of nodes."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import runpy
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from fsb_perception.commands.replay import app
from fsb_perception.registry import UnknownNameError
from fsb_perception.ros.launching import actions as launching
from fsb_perception.ros.launching.graph import GRAPHS, NodeSpec
from tests.paths import ROOT
from tests.perception.ros.launching import launch_stand_in

CASES: list[tuple[str, dict[str, str]]] = [
    ("demo", {}),
    ("demo", {"source": "0", "bundle": "nano", "device": "cpu", "view": "false"}),
    ("perception", {}),
    ("perception", {"namespace": "robot", "image": "/head/rgb", "camera_info": "/head/info"}),
    ("perception", {"cameras": "front, rear", "params_file": "/etc/fsb.yaml", "device": "cuda"}),
]


def launch_file(name: str) -> Any:
    return runpy.run_path(str(ROOT / "launch" / f"{name}.launch.py"))[
        "generate_launch_description"
    ]()


def stand_in_nodes(name: str, values: dict[str, str]) -> list[launch_stand_in.Node]:
    actions = stand_in_actions(name, values)
    return [action for action in actions if isinstance(action, launch_stand_in.Node)]


def stand_in_actions(name: str, values: dict[str, str]) -> list[Any]:
    declared, functions = [], []
    for entity in launch_file(name).entities:
        kind = launch_stand_in.DeclareLaunchArgument
        (declared if isinstance(entity, kind) else functions).append(entity)
    defaults = {entity.args[0]: entity.kwargs["default_value"] for entity in declared}
    context = SimpleNamespace(launch_configurations=defaults | values)
    (opaque,) = functions
    return opaque.kwargs["function"](context)


def plain(value: Any) -> Any:
    """Return a parameter as the node gets it: a string stays one only if its type is given."""
    if isinstance(value, launch_stand_in.ParameterValue):
        assert value.kwargs == {"value_type": type(value.args[0])}
        return value.args[0]
    assert not isinstance(value, str)
    return value


@pytest.mark.parametrize(("name", "values"), CASES)
def test_a_launch_file_yields_the_table(
    name: str, values: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launch_stand_in.install(monkeypatch)
    monkeypatch.setattr(launching, "display_shortage", lambda: "")
    actions = stand_in_nodes(name, values)
    specs = GRAPHS[name].nodes(**values)
    assert len(actions) == len(specs)
    for action, spec in zip(actions, specs, strict=True):
        given = action.kwargs
        assert given["package"] == "fsb_perception"
        assert (given["executable"], given["name"]) == (spec.executable, spec.name)
        assert given["namespace"] == spec.namespace
        assert tuple(given["remappings"]) == spec.remappings
        *files, typed = given["parameters"]
        assert files == [spec.params_file] * bool(spec.params_file)
        assert {key: plain(value) for key, value in typed.items()} == spec.parameters
        assert isinstance(action, launch_stand_in.LifecycleNode) == spec.lifecycle
        assert ("on_exit" in given) == spec.ends_all
        assert given.get("respawn", False) == spec.respawn


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"bag": "/b"}, ["/b", "--mode", "lockstep", "--out", "replay"]),
        (
            {"bag": "/b /c", "mode": "realtime", "rate": "search", "params_file": "p.yaml"},
            [
                "/b",
                "/c",
                "--mode",
                "realtime",
                "--out",
                "replay",
                "--rate",
                "search",
                "--config",
                "p.yaml",
            ],
        ),
        (
            {"bag": "/b", "mode": "offline", "out": "o", "truth": "t.csv", "criteria": "c.yaml"},
            ["/b", "--mode", "offline", "--out", "o", "--truth", "t.csv", "--criteria", "c.yaml"],
        ),
    ],
)
def test_the_replay_launch_file_runs_the_program(
    values: dict[str, str], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    launch_stand_in.install(monkeypatch)
    monkeypatch.setattr(launching, "_installed", lambda name: f"/lib/{name}")
    (action,) = stand_in_actions("replay", values)
    assert action.kwargs["cmd"] == ["/lib/fsb", "replay", "run", *words]
    assert "on_exit" in action.kwargs
    # The program accepts this command line.
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    command.make_context("run", action.kwargs["cmd"][3:])


def test_without_a_bag_there_is_nothing_to_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    launch_stand_in.install(monkeypatch)
    with pytest.raises(ValueError, match="bag:=/data/run1"):
        stand_in_actions("replay", {})


def test_without_a_display_the_others_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this, the end of the viewer would end all nodes."""
    launch_stand_in.install(monkeypatch)
    monkeypatch.setattr(launching, "display_shortage", lambda: "there is no display")
    names = [action.kwargs["name"] for action in stand_in_nodes("demo", {})]
    assert names == [spec.name for spec in GRAPHS["demo"].nodes() if spec.executable != "viewer"]


@pytest.mark.parametrize("name", GRAPHS)
def test_the_launch_file_runs_on_the_real_launch(name: str) -> None:
    pytest.importorskip("launch_ros", reason="needs launch_ros of a ROS 2 installation")
    launch = importlib.import_module("launch")
    context = launch.LaunchContext()
    pending, nodes = [launch_file(name)], []
    while pending:
        entity = pending.pop(0)
        if hasattr(entity, "node_executable"):
            nodes.append(entity)
        else:
            pending += entity.visit(context) or []
    assert len(nodes) == len(GRAPHS[name].nodes())


@pytest.mark.parametrize("name", GRAPHS)
def test_every_launch_file_has_its_graph(name: str) -> None:
    assert (ROOT / "launch" / f"{name}.launch.py").is_file()


def test_a_command_line_carries_the_whole_node() -> None:
    spec = NodeSpec(
        "camera",
        "fsb_perception.ros.camera",
        namespace="robot/head",
        parameters={"source": "0", "fps": 15.0, "loop": True, "names": ["a", "b"]},
        params_file="p.yaml",
        remappings=(("image", "/rgb"),),
    )
    command = spec.command("python")
    assert command[:3] == ["python", "-m", spec.module]
    words = " ".join(command[3:])
    for expected in (
        "--ros-args",
        "-r __node:=camera",
        "-r __ns:=/robot/head",
        "-r image:=/rgb",
        "--params-file p.yaml",
        '-p source:="0"',
        "-p fps:=15.0",
        "-p loop:=true",
        '-p names:=["a", "b"]',
    ):
        assert expected in words
    assert words.index("--params-file") < words.index(" -p ")  # the last value wins
    assert spec.full_name == "/robot/head/camera"


@pytest.mark.parametrize("name", GRAPHS)
def test_every_module_of_the_table_is_there(name: str) -> None:
    for spec in GRAPHS[name].nodes():
        assert importlib.util.find_spec(spec.module), spec.module


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({"surce": "0"}, UnknownNameError, "Did you mean 'source'"),
        ({"view": "maybe"}, ValueError, "'maybe'"),
    ],
)
def test_wrong_arguments_are_named(
    values: dict[str, str], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        GRAPHS["demo"].nodes(**values)


def test_several_cameras_have_no_single_image_topic() -> None:
    with pytest.raises(ValueError, match="leave one"):
        GRAPHS["perception"].nodes(cameras="front,rear", image="/rgb")


def test_the_table_needs_neither_torch_nor_ros() -> None:
    code = (
        "import sys, json; from fsb_perception.ros.launching import actions, graph;"
        "print(json.dumps([m for m in ('torch', 'rclpy', 'cv2', 'launch') if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True
    )
    assert json.loads(done.stdout) == []
