from __future__ import annotations

from pathlib import Path

import pytest

from fsb_perception.config import PerceptionConfig
from fsb_perception.fusion import FusionConfig, TaskFusionConfig
from fsb_perception.inference.config import EngineConfig
from fsb_perception.options import (
    Option,
    OptionError,
    Options,
    build,
    flatten,
    load_yaml,
    option,
    parse_settings,
    walk,
)
from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS

OPTIONS = list(walk(PerceptionConfig))


@pytest.mark.parametrize("item", OPTIONS, ids=lambda item: item.name)
def test_each_option_says_what_it_is_and_takes_its_own_default(item: Option) -> None:
    assert item.help
    assert item.help[-1] != "."
    built = build(PerceptionConfig, {item.name: item.default}).model_dump()
    assert flatten(built)[item.name] == item.default


@pytest.mark.parametrize("item", OPTIONS, ids=lambda item: item.name)
def test_what_is_out_of_bounds_is_named_with_its_value(item: Option) -> None:
    wrong: list[object] = [] if item.ge is None else [item.ge - 1]
    wrong += [] if item.le is None else [item.le + 1]
    wrong += ["no such choice"] if item.choices else []
    wrong += [] if item.type in (str, tuple[str, ...]) else [[1]]
    for value in wrong:
        with pytest.raises(OptionError) as caught:
            build(PerceptionConfig, {item.name: value})
        assert item.name in str(caught.value)
        assert repr(value) in str(caught.value)


def test_an_unknown_option_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'tracker\.max_coast'"):
        build(PerceptionConfig, {"tracker.max_cost": 1.0})


class Parts(Options):
    shares: dict[str, float] = option({}, "share of each")


class Whole(Options):
    parts: Parts = Parts()


@pytest.mark.parametrize(
    "values",
    [{"parts.shares": {"a": 1.0, "b.c": 2.0}}, {"parts.shares.a": 1.0, "parts.shares.b.c": 2.0}],
)
def test_a_mapping_is_given_whole_or_by_its_entries(values: dict[str, object]) -> None:
    assert build(Whole, values).parts.shares == {"a": 1.0, "b.c": 2.0}


def test_a_wrong_entry_of_a_mapping_is_named() -> None:
    with pytest.raises(OptionError, match=r"parts\.shares\.a: got 'much'"):
        build(Whole, {"parts.shares.a": "much"})
    with pytest.raises(UnknownNameError, match=r"Did you mean 'parts\.shares'"):
        build(Whole, {"parts.share.a": 1.0})


def test_every_task_has_options_of_its_own() -> None:
    names = {item.name for item in OPTIONS}
    assert {f"fusion.{task}.enter" for task in TASKS} <= names


@pytest.mark.parametrize("device", ["gpu", 5, None])
def test_a_choice_is_checked_in_a_tree_and_alone(device: object) -> None:
    message = f"got {device!r}, must be one of auto, cuda, cpu"
    with pytest.raises(OptionError, match=f"^engine.device: {message}$"):
        build(PerceptionConfig, {"engine.device": device})
    with pytest.raises(ValueError, match=message):
        EngineConfig(device=device)  # type: ignore[arg-type]


def test_options_of_an_unknown_task_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown task 'emotoin'. Did you mean 'emotion'"):
        FusionConfig.model_validate({"emotoin": {"enter": 0.9}})


def test_a_task_of_the_bundle_alone_has_the_general_defaults() -> None:
    assert FusionConfig().for_task("glasses") == TaskFusionConfig()


def test_thresholds_that_cross_are_refused() -> None:
    with pytest.raises(OptionError, match=r"exit \(0.9\) must not be above enter \(0.5\)"):
        build(PerceptionConfig, {"fusion.emotion.exit": 0.9})


def test_options_are_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        PerceptionConfig().bundle = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [("device", "must be NAME=VALUE, got 'device'"), ("", "must be NAME=VALUE, got ''")],
)
def test_a_setting_without_a_value_is_shown(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_settings([text])


def test_yaml_nests_and_reports_what_it_cannot_read(tmp_path: Path) -> None:
    file = tmp_path / "options.yaml"
    file.write_text("tracker:\n  max_coast: 0.5\ntasks: [gender]\n")
    assert load_yaml(file) == {"tracker.max_coast": 0.5, "tasks": ["gender"]}
    file.write_text("- 1")
    with pytest.raises(OptionError, match="must hold a mapping of options, got list"):
        load_yaml(file)
    with pytest.raises(OptionError, match=r"no\.yaml"):
        load_yaml(tmp_path / "no.yaml")
