"""The node's own parameter file as options of the pipeline."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from fsb_perception.config import PerceptionConfig
from fsb_perception.options import build, flatten
from fsb_perception.replay.parameter_files import is_parameter_file, pipeline_options
from tests.paths import ROOT

BOTH = {"bundle": "a", "tasks": ("x",)}


def parameters(**values: Any) -> dict[str, Any]:
    return {"ros__parameters": values}


def test_the_file_that_lists_all_is_the_default() -> None:
    tree = yaml.safe_load((ROOT / "config/perception.yaml").read_text())
    assert is_parameter_file(flatten(tree))
    assert build(PerceptionConfig, pipeline_options(tree)) == PerceptionConfig()


@pytest.mark.parametrize(
    ("tree", "options"),
    [
        ({"/**": parameters(bundle="b")}, {"bundle": "b"}),
        ({"face_attributes": parameters(tasks=["gender", ""])}, {"tasks": ("gender",)}),
        ({"/robot/face_attributes": parameters(bundle="b")}, {"bundle": "b"}),
        ({"/robot": {"face_attributes": parameters(bundle="b")}}, {"bundle": "b"}),
        ({"camera": parameters(bundle="b")}, {}),
        (
            {"/**": parameters(bundle="a"), "face_attributes": parameters(bundle="b")},
            {"bundle": "b"},
        ),
        ({"/**": parameters(image_transport="raw", use_sim_time=True)}, {}),
        ({"/**": parameters(tracker={"max_coast": 0.5})}, {"tracker.max_coast": 0.5}),
        ({"/**": parameters(**{"tracker.max_coast": 0.5})}, {"tracker.max_coast": 0.5}),
        ({"/**": parameters(bundel="b")}, {"bundel": "b"}),  # whoever builds them will say so
    ],
)
def test_what_is_meant_for_the_node_is_found(tree: Any, options: dict[str, Any]) -> None:
    assert is_parameter_file(flatten(tree))
    assert pipeline_options(tree) == options


def test_a_file_of_options_is_none_of_parameters() -> None:
    assert not is_parameter_file(flatten({"tracker": {"max_coast": 0.5}}))
