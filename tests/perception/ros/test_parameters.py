"""The option tree as ROS parameters: described, bounded, refused with a reason, and documented."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import rclpy
import yaml
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from fsb_perception.node_config import NodeConfig
from fsb_perception.options import OptionError, build, flatten, walk
from fsb_perception.registry import UnknownNameError
from fsb_perception.ros import environment
from fsb_perception.ros.parameters import as_yaml, changed_options, declare_options
from tests.paths import ROOT

NAME = "face_attributes"
SHIPPED = ROOT / "config" / "perception.yaml"
OPTIONS = {item.name: item for item in walk(NodeConfig)}


@contextmanager
def made(*words: str, name: str = NAME) -> Iterator[Node]:
    """Make a node that gets ``words`` after ``--ros-args`` on its command line."""
    os.environ.update(environment.prefixes(os.environ))
    context = rclpy.Context()
    rclpy.init(args=["--ros-args", *words], context=context)
    node = rclpy.create_node(
        name, context=context, automatically_declare_parameters_from_overrides=True
    )
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def setting(**values: str) -> list[str]:
    words = []
    for name, value in values.items():
        words += ["-p", f"{name.replace('__', '.')}:={value}"]
    return words


@pytest.fixture(scope="module")
def plain() -> Iterator[Node]:
    with made() as node:
        declare_options(node, NodeConfig)
        yield node


def test_the_shipped_file_is_what_the_tree_says() -> None:
    written = SHIPPED.read_text(encoding="utf-8")
    assert written == as_yaml(NodeConfig, NAME), (
        "run: python -m fsb_perception.ros.parameters > config/perception.yaml"
    )


def test_the_shipped_file_names_every_parameter_once() -> None:
    (tree,) = yaml.safe_load(SHIPPED.read_text(encoding="utf-8")).values()
    assert flatten(tree[NAME]["ros__parameters"]).keys() == OPTIONS.keys()


def test_the_shipped_file_can_be_given_to_the_node() -> None:
    with made("--params-file", str(SHIPPED)) as node:
        assert declare_options(node, NodeConfig) == NodeConfig()


def test_a_shortened_copy_of_the_file_changes_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    tree = {"tracker": {"max_coast": 2}, "cameras": ["front", "rear"], "bundle": "mine"}
    file.write_text(yaml.safe_dump({"/**": {NAME: {"ros__parameters": tree}}}))
    with made("--params-file", str(file), "-r", "__ns:=/robot/head") as node:
        config = declare_options(node, NodeConfig)
    assert config == build(NodeConfig, flatten(tree))


@pytest.mark.parametrize("name", OPTIONS)
def test_every_parameter_describes_itself(plain: Node, name: str) -> None:
    item, shown = OPTIONS[name], plain.describe_parameter(name)
    assert item.help in shown.description
    assert item.unit in shown.description
    assert shown.read_only == (not item.live)
    for choice in item.choices:
        assert choice in shown.additional_constraints
    if item.ge is not None and item.le is not None:
        assert bounds(shown) == (item.ge, item.le)


def bounds(shown: ParameterDescriptor) -> tuple[float, float]:
    (limits,) = [*shown.integer_range, *shown.floating_point_range]
    return limits.from_value, limits.to_value


@pytest.mark.parametrize("name", OPTIONS)
def test_every_parameter_stands_at_its_default(plain: Node, name: str) -> None:
    value = plain.get_parameter(name).value
    default = OPTIONS[name].default
    assert value == ([*default] or [""] if isinstance(default, tuple) else default)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"tracker__max_coast": "2"}, {"tracker.max_coast": 2.0}),  # not 2.0: ROS calls it an int
        ({"tracker__max_coast": "0.5"}, {"tracker.max_coast": 0.5}),
        ({"cameras": "[front]"}, {"cameras": ("front",)}),
        ({"cameras": "['']"}, {"cameras": ()}),
        ({"tasks": "[gender, emotion]"}, {"tasks": ("gender", "emotion")}),
        ({"autostart": "false"}, {"autostart": False}),
        ({"engine__threads": "2"}, {"engine.threads": 2}),
        ({"use_sim_time": "true"}, {}),  # ROS's own
    ],
)
def test_values_from_outside_arrive(values: dict[str, str], expected: dict[str, Any]) -> None:
    with made(*setting(**values)) as node:
        assert declare_options(node, NodeConfig) == build(NodeConfig, expected)


@pytest.mark.parametrize(
    ("values", "error", "texts"),
    [
        ({"bundel": "nano"}, UnknownNameError, ["unknown parameter 'bundel'", "mean 'bundle'"]),
        (
            {"traker__max_coast": "1.0"},
            UnknownNameError,
            ["'traker.max_coast'", "mean 'tracker.max_coast'"],
        ),
        ({"tracker__max_coast": "99.0"}, OptionError, ["tracker.max_coast", "99.0", "30"]),
        ({"tracker__max_coast": "-1"}, OptionError, ["tracker.max_coast", "-1", "0"]),
        ({"tracker__max_coast": "soon"}, OptionError, ["tracker.max_coast", "'soon'", "number"]),
        ({"engine__device": "tpu"}, OptionError, ["engine.device", "'tpu'", "auto, cuda, cpu"]),
        (
            {"image_reliability": "best"},
            OptionError,
            ["image_reliability", "'best'", "best_effort"],
        ),
        ({"autostart": "perhaps"}, OptionError, ["autostart", "'perhaps'"]),
        ({"cameras": "front"}, OptionError, ["cameras", "'front'"]),
        ({"detector__max_faces": "2.5"}, OptionError, ["detector.max_faces", "2.5", "integer"]),
        ({"fusion__gender__exit": "0.95"}, OptionError, ["fusion.gender", "0.95", "enter"]),
    ],
)
def test_what_cannot_be_is_refused_by_name_value_and_limit(
    values: dict[str, str], error: type[Exception], texts: list[str]
) -> None:
    with made(*setting(**values)) as node, pytest.raises(error) as refusal:
        declare_options(node, NodeConfig)
    for text in texts:
        assert text in str(refusal.value)


def test_what_is_not_live_cannot_be_set_later(plain: Node) -> None:
    (result,) = plain.set_parameters([Parameter("bundle", value="other")])
    assert not result.successful
    assert "read-only" in result.reason


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_ros_itself_holds_the_bounds(plain: Node, value: float) -> None:
    (result,) = plain.set_parameters([Parameter("fusion.gender.enter", value=value)])
    assert not result.successful


def test_the_tree_follows_the_parameters() -> None:
    with made() as node:
        declare_options(node, NodeConfig)
        node.set_parameters([Parameter("fusion.emotion.enter", value=0.9)])
        config = changed_options(node, NodeConfig, {"fusion.gender.enter": 1})
    assert config.fusion.emotion.enter == 0.9
    assert config.fusion.gender.enter == 1.0
    assert config.fusion.age_group == NodeConfig().fusion.age_group
