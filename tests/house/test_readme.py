"""What the README tells people to type exists."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from fsb_perception.cli import COMMANDS
from fsb_training.cli import app as training_app
from tests.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
TYPED = [line for block in BLOCKS for line in block.splitlines()]
SNIPPETS = sorted({*TYPED, *re.findall(r"`([^`\n]+)`", README)})
VERBS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_first_commands_are_the_two_that_matter():
    assert TYPED[:2] == ["make demo", "make test"]


@pytest.mark.parametrize("snippet", [text for text in SNIPPETS if text.startswith("make ")])
def test_verb_exists(snippet):
    assert shlex.split(snippet)[1] in VERBS


@pytest.mark.parametrize("snippet", [text for text in SNIPPETS if "DEMO_ARGS=" in text])
def test_demo_takes_these_options(snippet):
    (value,) = (w for w in shlex.split(snippet) if w.startswith("DEMO_ARGS="))
    assert_accepted(["demo", *shlex.split(value.removeprefix("DEMO_ARGS="))])


@pytest.mark.parametrize(
    "snippet", [text for text in SNIPPETS if text.startswith(".venv/bin/fsb ")]
)
def test_command_line_takes_these_arguments(snippet):
    assert_accepted(shlex.split(snippet)[1:])


def assert_accepted(arguments: list[str]) -> None:
    """Parse as far as the sub-command that would run; an unknown one, or option, raises."""
    name, *words = arguments
    command = {row.name: row for row in COMMANDS}[name].load()
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    command.make_context(name, [word for word in words if word != "..."])


@pytest.mark.parametrize(
    "snippet", [text for text in SNIPPETS if text.startswith(".venv/bin/fsb-train ")]
)
def test_training_command_takes_these_arguments(snippet):
    name, *words = shlex.split(snippet)[1:]
    commands = typer.main.get_command(training_app).commands
    commands[name].make_context(name, words)


@pytest.mark.parametrize(
    "file", sorted(set(re.findall(r"fsb_perception (\w+\.launch\.py)", README)))
)
def test_launch_file_exists(file):
    assert (ROOT / "launch" / file).is_file()


PATHS = re.findall(r"`((?:[\w.]+/)+(?:[\w.]+\.\w+)?)`", README) + re.findall(
    r"\]\(([^)#:]+)\)", README
)


@pytest.mark.parametrize("path", sorted(set(PATHS)))
def test_path_exists(path):
    assert path.startswith(".venv") or (ROOT / path).exists()
